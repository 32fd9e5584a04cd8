#include "paceline/actors/metrics_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

namespace paceline {
namespace {
constexpr std::size_t kBufferBytes = 16 * 1024;
}

Result<MetricsFile> MetricsFile::create(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor < 0)
    return fail_errno(errno, "cannot create {} (choose another run directory)", path.string());
  ::flock(descriptor, LOCK_EX | LOCK_NB);  // nobody else knows of it yet
  return MetricsFile(path, descriptor, 0);
}

Result<MetricsFile> MetricsFile::extend(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0)
    return fail_errno(errno, "cannot open {} (check its permissions)", path.string());
  MetricsFile file(path, descriptor, 0);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0)
    return fail(std::errc::file_exists,
                "{} is being written by another process: the run goes on there: end that first",
                path.string());
  // Back from the end to the last line's end.
  std::array<char, 4096> block{};
  auto end = static_cast<std::uint64_t>(std::max<off_t>(::lseek(descriptor, 0, SEEK_END), 0));
  while (end > 0) {
    const std::uint64_t begin = end > block.size() ? end - block.size() : 0;
    const ssize_t got =
        ::pread(descriptor, block.data(), end - begin, static_cast<off_t>(begin));
    if (got != static_cast<ssize_t>(end - begin))
      return fail_errno(errno, "cannot read {}", path.string());
    const std::string_view text(block.data(), end - begin);
    const std::size_t newline = text.rfind('\n');
    end = newline == std::string_view::npos ? begin : begin + newline + 1;
    if (newline != std::string_view::npos) break;
  }
  if (::ftruncate(descriptor, static_cast<off_t>(end)) != 0 ||
      ::lseek(descriptor, static_cast<off_t>(end), SEEK_SET) < 0)
    return fail_errno(errno, "cannot write {} (check its permissions)", path.string());
  file.written_ = end;
  return file;
}

MetricsFile::MetricsFile(std::filesystem::path path, int descriptor, std::uint64_t written)
    : path_(std::move(path)), descriptor_(descriptor), written_(written) {}

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
