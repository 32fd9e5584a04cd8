// The course of a run: beside its options and data, all that decided it. Each role's outcomes, in the
// order in which it met them: what it received, pinned, found newest, whether it could publish,
// whether it went on. A run writes it (RunOptions::record), a Replay lives it again.
// Threading: add() from any thread; the rest from one.
//   CO-1 A role's entries stand in its own order; those of several roles in about the order in which
//        they came about.
//   CO-2 Roles that meet the same outcomes do the same: a course determines every parameter, in any
//        order that causes allow.
//   CO-3 A file that is cut off, or in which a byte has changed, is refused.
//   CO-4 What a replay cannot bring about (a worker that crashed, came later or began again) stands in
//        the course, too, so that nobody takes the rest for all.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "paceline/actors/place.h"
#include "paceline/layers/input/dataset.h"
#include "paceline/result.h"

namespace paceline {

struct CourseEntry {
  enum class Kind : std::uint8_t {
    // What a role may have been suspended for.
    gradient = 1,  ///< value: the loss
    received,      ///< other: from whom, word: the message's kind, value: its round; or kNothing
    pinned,        ///< other: whose, word: which slot, value: the version; 0: not in time
    // What it got while it went on.
    took,     ///< as `received`
    held,     ///< as `pinned`
    newest,   ///< other: whose, word: which slot, value: the version
    running,  ///< value: whether
    loaned,   ///< word: of which slot, value: whether
    rate,     ///< value: the learning rate
    // What happened to it.
    ended,        ///< value: gradients taken; word: whether it crashed
    came_later,   ///< in the place of one that crashed, or added
    began_again,  ///< where the leader was: something was not finite
    // Of the whole run; role: who led in the end.
    leader,  ///< value: checksum of the parameters and buffers that it published last; other: their version
    end,  ///< value: of all before; other: how many entries
  };
  static constexpr std::uint8_t kNothing = 0xff;

  Kind kind;
  std::uint8_t word = 0;
  std::uint16_t role = 0;  ///< its Address
  std::uint32_t other = 0;
  std::uint64_t value = 0;
  bool operator==(const CourseEntry&) const = default;
  /// Whether a role may wait for it.
  bool awaited() const { return kind <= Kind::pinned; }
};
static_assert(sizeof(CourseEntry) == 16);

struct CourseHead {
  std::uint64_t layout = 0;  ///< Layout::hash()
  std::uint64_t data = 0;    ///< data_hash()
  Place place;
  std::string options;  ///< the run's, as whoever made it can read them again
};

struct Course {
  CourseHead head;
  std::vector<CourseEntry> entries;  ///< without `end`
};

/// @return one line: the file, what is wrong with it, the remedy
Result<Course> read_course(const std::filesystem::path& file);

class CourseWriter {
 public:
  /// Writes over a file that is there.
  static Result<std::unique_ptr<CourseWriter>> create(const std::filesystem::path& file,
                                                      const CourseHead& head);
  void add(const CourseEntry& entry);
  /// Completes the file. @return what went wrong with it since it was made
  Result<> finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  CourseWriter(std::filesystem::path path, std::FILE* file) : path_(std::move(path)), file_(file) {}
  void write(const void* bytes, std::size_t count);
  void flush();

  const std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::mutex mutex_;  // guards what follows
  std::vector<CourseEntry> entries_;
  std::uint64_t count_ = 0, sum_ = 0;
  int error_ = 0;
};

/// Of labels, and of pixels that lie in memory: other data have another.
std::uint64_t data_hash(const Data& data);

}  // namespace paceline
