// Another program of these tests, in a process under a test's hand.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "paceline/net/process_internal.h"

extern char** environ;

namespace paceline {

/// Started in the constructor; killed and collected in the destructor at the latest.
class Peer {
 public:
  /// @param words  the program and its arguments
  explicit Peer(std::vector<std::string> words) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    int ends[2];
    PACELINE_CHECK(pipe2(ends, O_CLOEXEC) == 0, "no pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    const int error =
        posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    PACELINE_CHECK(error == 0, "cannot start {}", words[0]);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output_ = fdopen(ends[0], "r");
    identity_ = read_process(pid_).value().identity;  // it may have ended already
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() {
    kill();
    fclose(output_);
  }

  const ProcessIdentity& identity() const { return identity_; }

  /// Waits for its next line. @return it; nothing when the process has ended
  std::string line() {
    char text[256];
    if (fgets(text, sizeof text, output_) == nullptr) return {};
    std::string line = text;
    if (line.ends_with('\n')) line.pop_back();
    return line;
  }

  /// Of SIGSTOP: returns when all of its threads have stopped.
  void send(int signal) const {
    ::kill(pid_, signal);
    siginfo_t stopped = {};
    if (signal == SIGSTOP) waitid(P_PID, static_cast<id_t>(pid_), &stopped, WSTOPPED);
  }

  /// kill -9, and waits for the end. @return the exit status it had reached by itself, or -SIGKILL
  int kill() {
    if (pid_ != 0) send(SIGKILL);
    return wait();
  }

  /// Waits for the end. @return the exit status, or minus the signal
  int wait() {
    if (pid_ != 0) {
      int status = 0;
      waitpid(pid_, &status, 0);
      ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      pid_ = 0;
    }
    return ended_;
  }

 private:
  pid_t pid_ = 0;
  int ended_ = 0;
  ProcessIdentity identity_;
  FILE* output_ = nullptr;
};

}  // namespace paceline
