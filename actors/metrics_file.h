// A file of JSON lines that grows while a run goes on. One thread.
//   MF-1 Only whole lines are ever in the file: when the disk is full, what was written of a line
//        is taken back.
//   MF-2 After the first error nothing more is written; the error stays.
//   MF-3 One process at a time: a file that another one writes is refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "paceline/result.h"

namespace paceline {

class MetricsFile {
 public:
  /// Creates the file; it must not exist.
  static Result<MetricsFile> create(const std::filesystem::path& path);
  /// Goes on with one that is there, or creates it; what a killed writer left of a line is cut off.
  static Result<MetricsFile> extend(const std::filesystem::path& path);
  MetricsFile(MetricsFile&&) noexcept;
  MetricsFile& operator=(MetricsFile&&) = delete;
  ~MetricsFile();

  /// Adds a line (without its newline); it reaches the file with the next flush() or when 16 KiB
  /// have gathered.
  Result<> append(const std::string& line);
  Result<> flush();

 private:
  MetricsFile(std::filesystem::path path, int descriptor, std::uint64_t written);
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t written_ = 0;  // bytes, whole lines
  std::string buffer_;
  Error error_;  // of the first failure
};

}  // namespace paceline
