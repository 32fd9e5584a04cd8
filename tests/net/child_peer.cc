// The child in the tests of child processes.
//   child_peer exit CODE
//   child_peer say TEXT              on standard output
//   child_peer variable NAME         says what the environment has
//   child_peer signals               ends with 1 if any is blocked or ignored, with 2 if its group is
//                                    not its own
//   child_peer input                 ends with 1 if there is any
//   child_peer descriptors           ends with how many are open besides input, output and error
//   child_peer pause
//   child_peer end-with PID START    tells its own pid and start time once die_with_parent() is done,
//                                    and pauses; ends with 4 when that fails
//   child_peer parent                starts an end-with child, which tells on this one's output, and
//                                    pauses
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "paceline/net/child_process.h"

namespace paceline {
namespace {

[[noreturn]] void pause_for_ever() {
  for (;;) pause();
}

int signals() {
  sigset_t blocked;
  sigprocmask(SIG_BLOCK, nullptr, &blocked);
  // Others may be a sanitizer's.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGCHLD}) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (sigismember(&blocked, signal) == 1 || action.sa_handler != SIG_DFL) return 1;
  }
  return getpgrp() == getpid() ? 0 : 2;
}

int descriptors() {
  int open = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(folder))
    if (entry->d_name[0] != '.') ++open;
  closedir(folder);
  return open - 4;  // the folder's own, too
}

std::vector<std::string> words_of(const ProcessIdentity& process) {
  return {std::to_string(process.pid), std::to_string(process.start_time)};
}

int end_with(const std::string& pid, const std::string& start_time) {
  if (!die_with_parent({std::stoi(pid), std::stoull(start_time)})) return 4;
  const auto own = words_of(this_process());
  std::cout << own[0] << ' ' << own[1] << std::endl;
  pause_for_ever();
}

int parent(const std::string& program) {
  dup2(STDOUT_FILENO, STDERR_FILENO);
  const auto own = words_of(this_process());
  const auto child = ChildProcess::start({program, "end-with", own[0], own[1]});
  if (!child) return 4;
  pause_for_ever();
}

int run(const std::vector<std::string>& words) {
  const std::string mode = words.size() > 1 ? words[1] : "";
  if (mode == "exit") return std::stoi(words.at(2));
  if (mode == "say") std::cout << words.at(2) << std::endl;
  if (mode == "variable") {
    const char* value = std::getenv(words.at(2).c_str());
    std::cout << (value == nullptr ? "none" : value) << std::endl;
  }
  if (mode == "signals") return signals();
  if (mode == "input") return std::cin.peek() == std::char_traits<char>::eof() ? 0 : 1;
  if (mode == "descriptors") return descriptors();
  if (mode == "pause") pause_for_ever();
  if (mode == "end-with") return end_with(words.at(2), words.at(3));
  if (mode == "parent") return parent(words[0]);
  return 0;
}

}  // namespace
}  // namespace paceline

int main(int count, char** arguments) { return paceline::run({arguments, arguments + count}); }
