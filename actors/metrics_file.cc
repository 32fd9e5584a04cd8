#include "paceline/actors/metrics_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace paceline {
namespace {
constexpr std::size_t kBufferBytes = 16 * 1024;
}

Result<MetricsFile> MetricsFile::create(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor < 0)
    return fail_errno(errno, "cannot create {} (choose another run directory)", path.string());
  return MetricsFile(path, descriptor);
}

MetricsFile::MetricsFile(std::filesystem::path path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

MetricsFile::MetricsFile(MetricsFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      written_(other.written_),
      buffer_(std::move(other.buffer_)),
      error_(std::move(other.error_)) {}

MetricsFile::~MetricsFile() {
  if (descriptor_ < 0) return;
  static_cast<void>(flush());
  ::close(descriptor_);
}

Result<> MetricsFile::append(const std::string& line) {
  if (error_.code) return error_;
  buffer_ += line;
  buffer_ += '\n';
  return buffer_.size() >= kBufferBytes ? flush() : success();
}

Result<> MetricsFile::flush() {
  if (error_.code) return error_;
  for (std::size_t done = 0; done < buffer_.size();) {
    const ssize_t n = ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int number = errno;
      const std::size_t whole = buffer_.rfind('\n', done == 0 ? 0 : done - 1);
      if (done > 0 && whole != std::string::npos) written_ += whole + 1;
      if (::ftruncate(descriptor_, static_cast<off_t>(written_)) == 0) ::fsync(descriptor_);
      buffer_.clear();
      return error_ = fail_errno(
                 number, "cannot write {} (free some space or choose another run directory)",
                 path_.string());
    }
    done += static_cast<std::size_t>(n);
  }
  written_ += buffer_.size();
  buffer_.clear();
  return success();
}

}  // namespace paceline
