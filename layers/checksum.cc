#include "paceline/layers/checksum.h"

#define XXH_INLINE_ALL  // header only: nothing for consumers to link
#include <xxhash.h>

#include <cerrno>
#include <fstream>
#include <vector>

namespace paceline {

std::uint64_t checksum(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

Result<FileSum> file_checksum(const std::filesystem::path& path) {
  constexpr std::size_t kChunkBytes = 1 << 20;
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return fail(std::errc::no_such_file_or_directory, "{}: cannot be opened", path.string());
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  FileSum sum;
  std::vector<char> chunk(kChunkBytes);
  while (file) {
    file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    const auto bytes = static_cast<std::size_t>(file.gcount());
    XXH3_64bits_update(&state, chunk.data(), bytes);
    sum.bytes += bytes;
  }
  if (file.bad()) return fail(std::errc::io_error, "{}: cannot be read", path.string());
  sum.xxh3 = XXH3_64bits_digest(&state);
  return sum;
}

}  // namespace paceline
