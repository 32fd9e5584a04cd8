// How a run is asked, while it goes on, for more or fewer workers by a process that is no part of
// it. The run's folder names the run's arena (RUN/node); the question is a letter in a mailbox of its
// own there, the answer text in another. Threading: a CrewDesk is its run's thread's;
// ask_for_crew_change() is for any process of the same user, and blocks.
//   CD-1 RUN/node is there as long as questions are answered.
//   CD-2 One asker at a time: it holds the lock on RUN/node. What one that died has left in the
//        mailboxes, the next one clears.
//   CD-3 An answer bears its question's ticket: who has given up does not get in the next one's way.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "paceline/actors/node_arena.h"
#include "paceline/result.h"

namespace paceline {

struct CrewQuestion {
  std::uint64_t ticket = 0;
  std::int32_t by = 0;  ///< workers to add, or below 0 to remove
};

class CrewDesk {
 public:
  /// Opens the desk of the run in `directory`. @param node  outlives it
  static Result<CrewDesk> open(const NodeArena& node, std::uint64_t layout_hash,
                               const std::filesystem::path& directory);
  CrewDesk(CrewDesk&& other) noexcept;
  CrewDesk& operator=(CrewDesk&&) = delete;
  /// Closes it: tells who still asks that the run answers no more.
  ~CrewDesk();

  std::optional<CrewQuestion> take();
  /// @param said  one line
  void answer(const CrewQuestion& question, const Result<std::string>& said);

 private:
  CrewDesk(const NodeArena& node, std::filesystem::path file)
      : node_(&node), file_(std::move(file)) {}
  const NodeArena* node_;
  std::filesystem::path file_;  // empty: moved from
};

/// Asks the run in `directory` for `by` workers more, or fewer, and waits until they ride or have
/// ended.
/// @return the run's one line; an error when there is no such run, it refuses, or does not answer
Result<std::string> ask_for_crew_change(const std::filesystem::path& directory, std::int32_t by,
                                        std::chrono::seconds within);

}  // namespace paceline
