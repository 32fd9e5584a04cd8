#include <algorithm>
#include <cerrno>

#include "paceline/layers/input/byte_reader_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 22;

}  // namespace

Result<ByteReader> ByteReader::open(std::filesystem::path path, std::string remedy) {
  errno = 0;
  gzFile file = gzopen(path.c_str(), "rbe");  // also reads what is not compressed
  if (file == nullptr) {
    const std::error_code code(errno == 0 ? ENOMEM : errno, std::generic_category());
    return Error{code, fmt::format("{}: cannot be opened ({}): {}", path.string(), code.message(),
                                   code == std::errc::no_such_file_or_directory
                                       ? remedy
                                       : "check the file and its permissions")};
  }
  gzbuffer(file, 1U << 18);
  return ByteReader(std::move(path), std::move(remedy), file);
}

Result<std::size_t> ByteReader::read_some(std::span<std::uint8_t> out) {
  std::size_t have = 0;
  while (have < out.size()) {
    const auto wanted = static_cast<unsigned>(std::min(out.size() - have, kBlockBytes));
    const int got = gzread(file_.get(), &out[have], wanted);
    if (got < 0) {
      int code = Z_OK;
      const std::string text = gzerror(file_.get(), &code);
      if (code == Z_BUF_ERROR) break;  // the compressed data stops in the middle
      if (code == Z_ERRNO) {
        return fail_errno(errno, "{}: cannot be read after byte {}", path_.string(),
                          position_ + have);
      }
      return wrong(fmt::format("damaged after byte {} ({})", position_ + have, text));
    }
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  position_ += have;
  return have;
}

Result<> ByteReader::read(std::span<std::uint8_t> out) {
  const std::uint64_t need = std::max(whole_bytes_, position_ + out.size());
  PACELINE_TRY(const std::size_t have, read_some(out));
  if (have < out.size()) {
    return wrong(fmt::format("truncated, {} of {} bytes", position_, need));
  }
  return success();
}

Result<std::vector<std::uint8_t>> ByteReader::read_block(std::uint64_t bytes) {
  std::vector<std::uint8_t> block;
  while (block.size() < bytes) {
    const std::size_t have = block.size();
    block.resize(have + static_cast<std::size_t>(
                            std::min<std::uint64_t>(bytes - have, std::max(kBlockBytes, have))));
    PACELINE_TRYV(read(std::span(block).subspan(have)));
  }
  return block;
}

Result<> ByteReader::finish() {
  std::uint8_t extra = 0;
  PACELINE_TRY(const std::size_t have, read_some({&extra, 1}));
  // A gzip stream's checksum is verified when its end is read; a missing end shows as an error.
  int code = Z_OK;
  gzerror(file_.get(), &code);
  if (code == Z_BUF_ERROR) return wrong("truncated, its end is missing");
  if (have != 0) {
    return wrong(fmt::format("trailing bytes after the {} that belong", position_ - 1));
  }
  return success();
}

Error ByteReader::wrong(const std::string& text) const {
  return fail(std::errc::illegal_byte_sequence, "{}: {}: {}", path_.string(), text, remedy_);
}

}  // namespace paceline
