#include "paceline/layers/input/image_decoder_internal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>

namespace paceline {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 28;
constexpr std::array<std::uint8_t, 3> kJpeg = {0xff, 0xd8, 0xff};
constexpr std::array<std::uint8_t, 8> kPng = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

bool begins_with(std::span<const std::uint8_t> file, std::span<const std::uint8_t> signature) {
  return file.size() >= signature.size() &&
         std::ranges::equal(file.first(signature.size()), signature);
}

class Descriptor {
 public:
  explicit Descriptor(const std::string& path)
      : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  const int number_;
};

Error cannot_be_read(int number) {
  const std::error_code code(number, std::generic_category());
  return Error{code, "cannot be read: " + code.message()};
}

/// So short that it takes none itself.
Error no_memory() { return fail(std::errc::not_enough_memory, "no memory"); }

}  // namespace

Result<> ImageDecoder::read(const std::string& path) {
  const Descriptor file(path);
  struct stat status {};
  if (file.number() < 0 || ::fstat(file.number(), &status) != 0) return cannot_be_read(errno);
  if (!S_ISREG(status.st_mode)) return fail(std::errc::invalid_argument, "no regular file");
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (bytes == 0) return fail(std::errc::illegal_byte_sequence, "empty");
  if (bytes > kMostBytes) {
    return fail(std::errc::file_too_large, "larger than {} MiB", kMostBytes >> 20);
  }
  if (file_.size() < bytes) file_.resize(bytes);
  for (file_bytes_ = 0; file_bytes_ < bytes;) {
    const ssize_t got = ::read(file.number(), &file_[file_bytes_], bytes - file_bytes_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return cannot_be_read(errno);
    if (got == 0) break;  // became shorter: its decoder says so
    file_bytes_ += static_cast<std::size_t>(got);
  }
  return success();
}

Result<ImageSize> ImageDecoder::open(const std::string& path) try {
  PACELINE_TRYV(read(path));
  return read_header();
} catch (const std::bad_alloc&) {
  return no_memory();
}

Result<ImageSize> ImageDecoder::read_header() {
  const std::span<const std::uint8_t> file(file_.data(), file_bytes_);
  if (begins_with(file, kJpeg)) {
    format_ = Format::jpeg;
    return jpeg_.open(file);
  }
  if (begins_with(file, kPng)) {
    format_ = Format::png;
    return png_.open(file);
  }
  return fail(std::errc::illegal_byte_sequence, "neither JPEG nor PNG: begins with {:02x}",
              fmt::join(file.first(std::min<std::size_t>(file.size(), 4)), " "));
}

Result<const DecodedImage*> ImageDecoder::decode(unsigned reduction) try {
  PACELINE_TRYV(format_ == Format::jpeg ? jpeg_.decode(reduction, image_) : png_.decode(image_));
  return &image_;
} catch (const std::bad_alloc&) {
  return no_memory();
}

}  // namespace paceline
