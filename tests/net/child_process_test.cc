#include "paceline/net/child_process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <thread>

#include "net/peer.h"

namespace paceline {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using ::testing::HasSubstr;

ChildProcess start(std::vector<std::string> arguments,
                   const std::vector<std::string>& environment = {}) {
  arguments.insert(arguments.begin(), PACELINE_CHILD_PEER);
  return ChildProcess::start(arguments, environment).value();
}

ProcessEnd end_of(std::vector<std::string> arguments) {
  return start(std::move(arguments)).wait(hours(1)).value();
}

/// Puts a file descriptor in the place of another for as long as it lives.
class Redirection {
 public:
  Redirection(int which, int instead) : which_(which), before_(fcntl(which, F_DUPFD_CLOEXEC, 10)) {
    dup2(instead, which_);
  }
  Redirection(const Redirection&) = delete;
  Redirection& operator=(const Redirection&) = delete;
  ~Redirection() {
    dup2(before_, which_);
    close(before_);
  }

 private:
  int which_, before_;
};

/// What a child writes on its standard output, read from this process's standard error.
std::string said_by(std::vector<std::string> arguments,
                    const std::vector<std::string>& environment = {}) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  {
    const Redirection errors(STDERR_FILENO, ends[1]);
    close(ends[1]);
    EXPECT_TRUE(start(std::move(arguments), environment).wait(hours(1))->orderly());
  }
  std::string text(1000, '\0');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(read(ends[0], text.data(), 1000), 0)));
  close(ends[0]);
  return text;
}

TEST(ChildProcess, EndIsAnExitCodeOrASignal) {
  const ProcessEnd orderly = end_of({"exit", "0"});
  EXPECT_TRUE(orderly.orderly());
  EXPECT_EQ(orderly.words(), "exit code 0");
  const ProcessEnd failed = end_of({"exit", "3"});
  EXPECT_FALSE(failed.orderly());
  EXPECT_EQ(failed.code, 3);
  EXPECT_EQ(failed.signal, 0);
  EXPECT_EQ(failed.words(), "exit code 3");
  ChildProcess child = start({"pause"});
  child.kill(SIGKILL);
  const ProcessEnd killed = child.wait(hours(1)).value();
  EXPECT_FALSE(killed.orderly());
  EXPECT_EQ(killed.signal, SIGKILL);
  EXPECT_EQ(killed.words(), "killed by signal 9 (Killed)");
}

TEST(ChildProcess, WaitSaysNothingOfOneThatRunsAndTheSameAgainOfOneThatEnded) {
  ChildProcess child = start({"pause"});
  const auto before = std::chrono::steady_clock::now();
  EXPECT_FALSE(child.wait(milliseconds(20)));
  EXPECT_GE(std::chrono::steady_clock::now() - before, milliseconds(20));
  EXPECT_FALSE(child.wait(nanoseconds(-1)));
  pollfd watched{child.pidfd(), POLLIN, 0};
  EXPECT_EQ(poll(&watched, 1, 0), 0);
  EXPECT_TRUE(is_running(child.identity()));
  child.kill(SIGTERM);
  EXPECT_EQ(poll(&watched, 1, -1), 1);
  EXPECT_EQ(child.wait(nanoseconds(0))->signal, SIGTERM);
  EXPECT_EQ(child.wait(nanoseconds(0))->signal, SIGTERM);
  EXPECT_FALSE(is_running(child.identity()));
  child.kill(SIGTERM);  // nobody
}

TEST(ChildProcess, ThatCannotBeStartedIsNamed) {
  for (const char* program : {"/nowhere/paceline-none", "paceline-no-such-program"}) {
    const auto child = ChildProcess::start({program});
    ASSERT_FALSE(child);
    EXPECT_EQ(child.error().code, std::errc::no_such_file_or_directory);
    EXPECT_THAT(child.error().message, HasSubstr(program));
  }
}

TEST(ChildProcess, IsLookedUpInPath) {
  EXPECT_TRUE(ChildProcess::start({"true"}).value().wait(hours(1))->orderly());
}

TEST(ChildProcess, IsKilledAndCollectedWithItsOwner) {
  ProcessIdentity identity;
  {
    const ChildProcess child = start({"pause"});
    identity = child.identity();
    EXPECT_TRUE(is_running(identity));
  }
  EXPECT_EQ(::kill(identity.pid, 0), -1) << "not even a zombie";
  {
    const ChildProcess child = start({"pause"});
    child.kill(SIGSTOP);
    identity = child.identity();
  }
  EXPECT_EQ(::kill(identity.pid, 0), -1) << "a stopped one, too";
}

TEST(ChildProcess, MovedOneIsWatchedOnAndAssignedOneEnds) {
  ChildProcess none;
  EXPECT_FALSE(none);
  ChildProcess first = start({"pause"});
  const ProcessIdentity one = first.identity();
  ChildProcess second = std::move(first);
  EXPECT_FALSE(first);
  EXPECT_TRUE(second);
  EXPECT_EQ(second.identity(), one);
  EXPECT_TRUE(is_running(one));
  second = start({"exit", "5"});
  EXPECT_FALSE(is_running(one));
  EXPECT_EQ(second.wait(hours(1))->code, 5);
  second = ChildProcess();
  EXPECT_FALSE(second);
}

TEST(ChildProcess, IdentityOfOneThatEndedAtOnceIsStillKnown) {
  for (int i = 0; i < 50; ++i) {
    ChildProcess child = start({"exit", "0"});
    EXPECT_GE(child.identity().start_time, this_process().start_time);
    EXPECT_TRUE(child.wait(hours(1))->orderly());
  }
}

TEST(ChildProcess, HasDefaultSignalsNoneBlockedAndItsOwnGroup) {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGUSR1);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  const auto interrupt = signal(SIGINT, SIG_IGN);
  const auto pipe = signal(SIGPIPE, SIG_IGN);
  const ProcessEnd end = end_of({"signals"});
  signal(SIGINT, interrupt);
  signal(SIGPIPE, pipe);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  EXPECT_TRUE(end.orderly()) << end.words();
}

TEST(ChildProcess, HasNoInput) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  {
    const Redirection input(STDIN_FILENO, ends[0]);
    EXPECT_TRUE(end_of({"input"}).orderly());
  }
  close(ends[0]);
  close(ends[1]);
}

TEST(ChildProcess, InheritsNoDescriptor) {
  const int inherited = dup(STDERR_FILENO), far = fcntl(STDERR_FILENO, F_DUPFD, 700);
  EXPECT_EQ(fcntl(inherited, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(end_of({"descriptors"}).words(), "exit code 0");
  close(inherited);
  close(far);
}

TEST(ChildProcess, WritesItsOutputOnTheParentsErrors) {
  EXPECT_EQ(said_by({"say", "good day"}), "good day\n");
}

TEST(ChildProcess, HasItsParentsEnvironmentAndMore) {
  setenv("PACELINE_TEST_ONE", "1", 1);
  setenv("PACELINE_TEST_TWO", "2", 1);
  const std::vector<std::string> more{"PACELINE_TEST_TWO=two", "PACELINE_TEST_THREE=a=b"};
  EXPECT_EQ(said_by({"variable", "PACELINE_TEST_ONE"}, more), "1\n");
  EXPECT_EQ(said_by({"variable", "PACELINE_TEST_TWO"}, more), "two\n");
  EXPECT_EQ(said_by({"variable", "PACELINE_TEST_THREE"}, more), "a=b\n");
  EXPECT_EQ(said_by({"variable", "PACELINE_TEST_THREE"}), "none\n");
}

TEST(ChildProcess, EndIsUnknownWhereSigchldIsIgnored) {
  const auto before = signal(SIGCHLD, SIG_IGN);
  ChildProcess child = start({"pause"});
  child.kill(SIGKILL);
  const ProcessEnd end = child.wait(hours(1)).value();
  signal(SIGCHLD, before);
  EXPECT_FALSE(end.orderly());
  EXPECT_EQ(end.code, ProcessEnd::kUnknown);
  EXPECT_THAT(end.words(), HasSubstr("SIGCHLD"));
}

// ---- Children never outlive their parents ----

/// The child that tells "PID START" about itself.
ProcessIdentity read_identity(const std::string& line) {
  ProcessIdentity identity;
  std::istringstream(line) >> identity.pid >> identity.start_time;
  return identity;
}

TEST(ChildProcess, EndsWithItsParentWhateverStateItIsIn) {
  for (const bool stopped : {false, true}) {
    Peer parent({PACELINE_CHILD_PEER, "parent"});
    const ProcessIdentity child = read_identity(parent.line());
    ASSERT_TRUE(is_running(child));
    if (stopped) ::kill(child.pid, SIGSTOP);
    EXPECT_EQ(parent.kill(), -SIGKILL);
    while (is_running(child)) std::this_thread::sleep_for(milliseconds(1));
  }
}

TEST(ChildProcess, OutlivesTheThreadThatStartedIt) {
  ChildProcess child;
  const ProcessIdentity& self = this_process();
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  std::string line(1, '\0');
  std::thread([&] {
    const Redirection errors(STDERR_FILENO, ends[1]);
    child = start({"end-with", std::to_string(self.pid), std::to_string(self.start_time)});
    EXPECT_EQ(read(ends[0], line.data(), 1), 1);  // it has made its arrangements
    EXPECT_FALSE(child.wait(nanoseconds(0)));
  }).join();
  EXPECT_FALSE(child.wait(milliseconds(300))) << "its parent is the process, not the thread";
  child.kill(SIGTERM);
  EXPECT_EQ(child.wait(hours(1))->signal, SIGTERM);
  close(ends[0]);
  close(ends[1]);
}

TEST(ChildProcess, KnowsThatItsParentHasEndedBefore) {
  const ProcessIdentity& self = this_process();
  // A parent of that number, but started at another time; and one of another number.
  EXPECT_EQ(
      end_of({"end-with", std::to_string(self.pid), std::to_string(self.start_time + 1)}).code, 4);
  EXPECT_EQ(end_of({"end-with", "1", "1"}).code, 4);
}

}  // namespace
}  // namespace paceline
