#include "paceline/net/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "paceline/net/arena.h"
#include "process_internal.h"

namespace paceline {
namespace {

using std::chrono::nanoseconds;

/// As C wants them, valid as long as `words`.
std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

/// This process's own, with `changes` in the place of what has the same name.
std::vector<std::string> environment_with(const std::vector<std::string>& changes) {
  const auto name_of = [](const std::string& entry) {
    return std::string_view(entry).substr(0, entry.find('='));
  };
  std::vector<std::string> all = changes;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string own = *entry;
    const auto same = [&](const std::string& change) { return name_of(change) == name_of(own); };
    if (std::ranges::none_of(changes, same)) all.push_back(own);
  }
  return all;
}

/// What a child gets: descriptors (CP-3), signals and a group (CP-1).
class SpawnRules {
 public:
  explicit SpawnRules(const std::string& output) {
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_addopen(&files_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!output.empty())
      posix_spawn_file_actions_addopen(&files_, STDERR_FILENO, output.c_str(),
                                       O_WRONLY | O_CREAT | O_TRUNC, 0666);
    posix_spawn_file_actions_adddup2(&files_, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files_, STDERR_FILENO + 1);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  }
  SpawnRules(const SpawnRules&) = delete;
  SpawnRules& operator=(const SpawnRules&) = delete;
  ~SpawnRules() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  const posix_spawn_file_actions_t* files() const { return &files_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

/// Collects the child behind `pidfd`, which has ended or ends soon.
ProcessEnd collect(int pidfd) {
  siginfo_t info{};
  int error = EINTR;
  while (error == EINTR)
    error = waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED) == 0 ? 0 : errno;
  if (error != 0) return {ProcessEnd::kUnknown, 0};
  return info.si_code == CLD_EXITED ? ProcessEnd{info.si_status, 0} : ProcessEnd{0, info.si_status};
}

}  // namespace

std::string ProcessEnd::words() const {
  if (signal != 0) {
    const char* name = sigdescr_np(signal);
    return fmt::format("killed by signal {} ({})", signal, name == nullptr ? "unknown" : name);
  }
  if (code == kUnknown)
    return "ended in an unknown way: SIGCHLD is ignored, or another part of the program "
           "collects all children";
  return fmt::format("exit code {}", code);
}

Result<ChildProcess> ChildProcess::start(const std::vector<std::string>& command,
                                         const std::vector<std::string>& environment,
                                         const std::string& output) {
  PACELINE_CHECK(!command.empty(), "a command without a program");
  std::vector<std::string> words = command, variables = environment_with(environment);
  const SpawnRules rules(output);
  ChildProcess child;
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, words[0].c_str(), rules.files(), rules.attributes(),
                                 pointers(words).data(), pointers(variables).data());
  if (error != 0) return fail_errno(error, "cannot start {}", words[0]);
  // Until this process collects it, the number is nobody else's.
  child.pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (child.pidfd_ < 0) {
    const int pidfd_error = errno;
    if (pidfd_error != ESRCH) {  // else it has ended, and SIGCHLD is ignored
      ::kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    return fail_errno(pidfd_error, "cannot watch {}, started as process {}", words[0], pid);
  }
  PACELINE_TRY(const ProcessState state, read_process(pid));
  child.identity_ = state.identity;
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : identity_(other.identity_), pidfd_(std::exchange(other.pidfd_, -1)), end_(other.end_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  ChildProcess moved(std::move(other));
  std::swap(identity_, moved.identity_);
  std::swap(pidfd_, moved.pidfd_);
  std::swap(end_, moved.end_);
  return *this;  // what this watched before goes with `moved`
}

ChildProcess::~ChildProcess() {
  if (pidfd_ < 0) return;
  if (!end_) {
    kill(SIGKILL);
    collect(pidfd_);
  }
  close(pidfd_);
}

void ChildProcess::kill(int signal) const {
  syscall(SYS_pidfd_send_signal, pidfd_, signal, nullptr, 0);
}

std::optional<ProcessEnd> ChildProcess::wait(nanoseconds within) {
  PACELINE_CHECK(pidfd_ >= 0, "no child to wait for");
  const auto start = std::chrono::steady_clock::now();
  while (!end_) {
    const nanoseconds left =
        std::max(within - (std::chrono::steady_clock::now() - start), nanoseconds(0));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec time{seconds.count(), (left - seconds).count()};
    pollfd watched{pidfd_, POLLIN, 0};
    const int ready = ppoll(&watched, 1, &time, nullptr);
    if (ready == 0) return std::nullopt;
    if (ready > 0) end_ = collect(pidfd_);
  }
  return end_;
}

Result<> die_with_parent(const ProcessIdentity& parent) {
  // A stopped process goes on when its parent ends, so that it can end, too.
  if (prctl(PR_SET_PDEATHSIG, SIGCONT) != 0)
    return fail_errno(errno, "cannot ask to end with process {}", parent.pid);
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, parent.pid, 0));
  if (pidfd < 0 || getppid() != parent.pid || !is_running(parent)) {
    if (pidfd >= 0) close(pidfd);
    return fail(std::errc::no_such_process, "process {}, which started this one, has ended",
                parent.pid);
  }
  sigset_t all, former;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &former);  // signals are for other threads
  std::thread([pidfd] {
    pollfd ended{pidfd, POLLIN, 0};
    while (poll(&ended, 1, -1) < 0 && errno == EINTR) {
    }
    Arena::sweep();
    _exit(1);
  }).detach();
  pthread_sigmask(SIG_SETMASK, &former, nullptr);
  return success();
}

}  // namespace paceline
