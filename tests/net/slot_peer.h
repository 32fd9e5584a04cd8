// A slot_peer process under a test's hand.
#pragma once

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "paceline/net/process.h"

extern char** environ;

namespace paceline {

/// Started in the constructor; killed and collected in the destructor at the latest.
class SlotPeer {
 public:
  SlotPeer(std::string mode, std::string argument) {
    std::string program = PACELINE_SLOT_PEER;
    char* arguments[] = {program.data(), mode.data(), argument.data(), nullptr};
    int ends[2];
    PACELINE_CHECK(pipe(ends) == 0, "no pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    const int error = posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environ);
    PACELINE_CHECK(error == 0, "cannot start {}", program);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output_ = fdopen(ends[0], "r");
    identity_ = identify_process(pid_).value();
  }
  SlotPeer(const SlotPeer&) = delete;
  SlotPeer& operator=(const SlotPeer&) = delete;
  ~SlotPeer() {
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

  /// kill -9, and waits for the end. @return the exit status it had reached by itself, or -SIGKILL
  int kill() {
    if (pid_ != 0) {
      ::kill(pid_, SIGKILL);
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
