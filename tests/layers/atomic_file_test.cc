#include "paceline/layers/atomic_file.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>

#include "temporary_folder.h"

namespace paceline {
namespace {

using testing::HasSubstr;

std::string content(const std::filesystem::path& path) {
  const std::vector<std::uint8_t> bytes = read_bytes(path);
  return {bytes.begin(), bytes.end()};
}

/// Lowers the limit on file sizes while it lives. A write beyond it fails with EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit lower{bytes, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &lower), 0);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

/// Lets this process mount what no other sees; without root, as root of a user namespace.
bool enter_own_mounts() {
  const uid_t user = ::geteuid();
  const gid_t group = ::getegid();
  if (::unshare(CLONE_NEWNS | (user == 0 ? 0 : CLONE_NEWUSER)) != 0) return false;
  if (user != 0) {
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream uids("/proc/self/uid_map"), gids("/proc/self/gid_map");
    uids << fmt::format("0 {} 1", user) << std::flush;
    gids << fmt::format("0 {} 1", group) << std::flush;
    if (!uids || !gids) return false;
  }
  return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

TEST(AtomicFile, AFileIsMadeAndReplaced) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_file_atomically(folder / "a", "first"));
  EXPECT_EQ(content(folder / "a"), "first");
  ASSERT_TRUE(write_file_atomically(folder / "a", ""));
  EXPECT_EQ(content(folder / "a"), "");
  EXPECT_EQ(folder.files(), 1U);
}

TEST(AtomicFile, AFailedWriteLeavesTheOldContentAndNoTemporary) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_file_atomically(folder / "a", "old"));
  Result<> result = success();
  {
    const FileSizeLimit limit(1000);
    result = write_file_atomically(folder / "a", std::string(5000, 'x'));
  }
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, std::errc::file_too_large);
  EXPECT_THAT(result.error().message,
              testing::AllOf(HasSubstr((folder / "a").string()), HasSubstr("ulimit -f"),
                             HasSubstr("5000 bytes")));
  EXPECT_EQ(content(folder / "a"), "old");
  EXPECT_EQ(folder.files(), 1U);
}

TEST(AtomicFile, AFullDiskIsOneLineThatSaysWhatToFreeAndLeavesNoTemporary) {
  const TemporaryFolder folder;
  constexpr int kNotAllowed = 77;
  const pid_t child = ::fork();
  if (child == 0) {  // a disk of 64 KiB that only this child sees
    if (!enter_own_mounts() ||
        ::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
      ::_exit(kNotAllowed);
    }
    const bool whole = write_file_atomically(folder / "a", "old").has_value();
    const auto result = write_file_atomically(folder / "a", std::string(200'000, 'x'));
    const bool right = whole && !result && result.error().code == std::errc::no_space_on_device &&
                       result.error().message.find("free 200000 bytes") != std::string::npos &&
                       content(folder / "a") == "old" && folder.files() == 1;
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNotAllowed) GTEST_SKIP() << "may not mount a small disk";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(AtomicFile, AMissingFolderIsNamed) {
  const TemporaryFolder folder;
  const auto result = write_file_atomically(folder / "none" / "a", "x");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, std::errc::no_such_file_or_directory);
  EXPECT_THAT(result.error().message, HasSubstr("there is no such folder"));
}

TEST(AtomicFile, AFolderUnderTheNameIsAnErrorAndNoTemporaryStays) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "a");
  const auto result = write_file_atomically(folder / "a", "x");
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("a folder has this name"));
  EXPECT_EQ(folder.files(), 1U);
}

TEST(AtomicFile, AFolderThatMayNotBeWrittenIsAnError) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const TemporaryFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0500), 0);
  const auto result = write_file_atomically(folder / "a", "x");
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("choose a folder that may be written"));
}

}  // namespace
}  // namespace paceline
