// What reading a set's image files came to: the CPU time of the threads that decode them, the time
// that workers waited for them, the files that could not be read. Shared by all who read the set;
// any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "paceline/result.h"

namespace paceline {

/// Files that were left out, by name, and why.
using SkippedFiles = std::map<std::string, std::string>;

class ReadingLog {
 public:
  /// An image was read, or tried to; it took this much CPU time.
  void add_image(double cpu_seconds);
  void add_wait(double seconds);
  /// Counts a file once, however often it is met.
  /// @return how many have been skipped so far
  std::size_t skip(std::string_view name, std::string_view reason);
  /// Says that the set cannot be used any more; the first reason stays.
  void give_up(Error reason);

  std::uint64_t images() const;
  double cpu_seconds() const;
  double wait_seconds() const;
  SkippedFiles skipped() const;
  /// @return why give_up() was called, if it was
  Result<> usable() const;

 private:
  mutable std::mutex mutex_;
  std::uint64_t images_ = 0;
  double cpu_seconds_ = 0, wait_seconds_ = 0;
  SkippedFiles skipped_;
  Error failure_;
};

}  // namespace paceline
