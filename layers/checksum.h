// Checksums of what lies on a disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "paceline/result.h"

namespace paceline {

struct FileSum {
  std::uint64_t bytes = 0, xxh3 = 0;
  bool operator==(const FileSum&) const = default;
};

/// XXH3 (64 bits) of a text.
std::uint64_t checksum(std::string_view text);
/// Of a file's content, read from its beginning to its end.
Result<FileSum> file_checksum(const std::filesystem::path& path);

}  // namespace paceline
