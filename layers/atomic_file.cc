#include "paceline/layers/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

namespace paceline {
namespace {

Error explain(int number, const std::filesystem::path& path, std::size_t bytes) {
  const std::error_code code(number, std::generic_category());
  const auto line = [&](const std::string& cause, const std::string& remedy) {
    return Error{code, fmt::format("{}: cannot be written, {}: {}", path.string(), cause, remedy)};
  };
  switch (number) {
    case ENOSPC:
    case EDQUOT:
      return line("the disk is full", fmt::format("free {} bytes or choose another folder", bytes));
    case EFBIG:
      return line("files may not be that large",
                  fmt::format("allow {} bytes with 'ulimit -f' or choose another folder", bytes));
    case EACCES:
    case EPERM:
    case EROFS:
      return line(code.message(), "choose a folder that may be written");
    case ENOENT:
    case ENOTDIR:
      return line("there is no such folder", "make it first or choose another");
    case EISDIR:
      return line("a folder has this name", "choose another name");
    default:
      return line(code.message(), "check the disk or choose another folder");
  }
}

/// A file descriptor and the temporary's name; both go when it does, unless the file was renamed.
class Temporary {
 public:
  explicit Temporary(const std::filesystem::path& target) {
    static std::atomic<unsigned> count{0};  // threads of one process get names of their own
    path_ = target.parent_path() /
            fmt::format(".{}.{}.{}.tmp", target.filename().string(), ::getpid(), count++);
    ::unlink(path_.c_str());  // what a killed process with our id may have left
    file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ < 0) open_error_ = errno;
  }
  ~Temporary() {
    if (file_ < 0) return;
    ::close(file_);
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  /// Each returns 0 or the errno of its failure.
  int write(std::span<const std::byte> content) {
    if (file_ < 0) return open_error_;
    while (!content.empty()) {
      const ssize_t written = ::write(file_, content.data(), content.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return errno;
      content = content.subspan(static_cast<std::size_t>(written));
    }
    return 0;
  }
  int sync() { return ::fsync(file_) == 0 ? 0 : errno; }
  int rename_to(const std::filesystem::path& target) {
    if (::rename(path_.c_str(), target.c_str()) != 0) return errno;
    path_.clear();
    return 0;
  }

 private:
  std::filesystem::path path_;
  int file_ = -1, open_error_ = 0;
};

/// Makes the rename itself durable. Some file systems cannot sync a folder: nothing is lost then
/// but the guarantee against power failure.
void sync_folder(const std::filesystem::path& folder) {
  const int file =
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return;
  ::fsync(file);
  ::close(file);
}

}  // namespace

Result<> write_pieces_atomically(const std::filesystem::path& path,
                                 std::span<const std::span<const std::byte>> pieces) {
  std::size_t bytes = 0;
  for (const auto piece : pieces) bytes += piece.size();
  Temporary temporary(path);
  for (const auto piece : pieces)
    if (const int number = temporary.write(piece)) return explain(number, path, bytes);
  if (const int number = temporary.sync()) return explain(number, path, bytes);
  if (const int number = temporary.rename_to(path)) return explain(number, path, bytes);
  sync_folder(path.parent_path());
  return success();
}

Result<> write_file_atomically(const std::filesystem::path& path,
                               std::span<const std::byte> content) {
  return write_pieces_atomically(path, std::span(&content, 1));
}

Result<> write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  return write_file_atomically(path, std::as_bytes(std::span(content)));
}

Result<> put_folder_in_place(const std::filesystem::path& from, const std::filesystem::path& to) {
  sync_folder(from);
  // Exchanging is one step where rename() would refuse a folder that is not empty. Where the file
  // system cannot exchange, the old folder makes room first.
  int failed = ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
  if (failed == ENOTEMPTY || failed == EEXIST) {
    const bool exchanged = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(),
                                       RENAME_EXCHANGE) == 0;
    const std::filesystem::path old = exchanged ? from.string() : from.string() + ".old";
    failed = exchanged || (::rename(to.c_str(), old.c_str()) == 0 &&
                           ::rename(from.c_str(), to.c_str()) == 0)
                 ? 0
                 : errno;
    std::error_code ignored;
    if (failed == 0) std::filesystem::remove_all(old, ignored);
  }
  if (failed) return explain(failed, to, 0);
  sync_folder(to.parent_path());
  return success();
}

}  // namespace paceline
