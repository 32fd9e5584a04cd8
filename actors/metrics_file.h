// A file of JSON lines that grows while a run goes on. One thread.
//   MF-1 Only whole lines are ever in the file: when the disk is full, what was written of a line
//        is taken back.
//   MF-2 After the first error nothing more is written; the error stays.
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
  MetricsFile(MetricsFile&&) noexcept;
  MetricsFile& operator=(MetricsFile&&) = delete;
  ~MetricsFile();

  /// Adds a line (without its newline); it reaches the file with the next flush() or when 16 KiB
  /// have gathered.
  Result<> append(const std::string& line);
  Result<> flush();

 private:
  MetricsFile(std::filesystem::path path, int descriptor);
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t written_ = 0;  // bytes, whole lines
  std::string buffer_;
  Error error_;  // of the first failure
};

}  // namespace paceline
