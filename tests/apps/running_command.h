// Runs a program as its user does: own pipes, a deadline, signals on the way. POSIX, one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace paceline {

struct Outcome {
  int exit_code = -1;  ///< -1: ended by a signal
  int signal = 0;
  bool overdue = false;  ///< was killed at its deadline
  std::string output, errors;
};

class RunningCommand {
 public:
  /// @param words        program and arguments
  /// @param environment  "NAME=VALUE", added to a copy of this process's without PACELINE_ ones;
  ///                     PACELINE_CACHE is a folder of the build's unless it is given
  /// @param group        whether it leads a process group of its own, as a shell's job does
  enum class Group { ours, own };
  explicit RunningCommand(const std::vector<std::string>& words,
                          const std::vector<std::string>& environment = {},
                          Group group = Group::ours);
  /// Kills what still runs.
  ~RunningCommand();
  RunningCommand(const RunningCommand&) = delete;
  RunningCommand& operator=(const RunningCommand&) = delete;

  void send(int signal) const;
  pid_t pid() const { return pid_; }
  /// Reads until `text` has come on standard output or error. @return false at the deadline or end
  bool wait_for_text(const std::string& text, std::chrono::seconds deadline);
  Outcome wait(std::chrono::seconds deadline);

 private:
  /// Reads what is there, for at most `time`. @return false when both pipes have ended
  bool read_some(std::chrono::milliseconds time);

  pid_t pid_ = -1;
  int output_ = -1, errors_ = -1;
  Outcome outcome_;
};

/// The built `paceline` with arguments, to its end.
Outcome run_paceline(const std::vector<std::string>& arguments,
                     const std::vector<std::string>& environment = {});

/// Words for a RunningCommand of the built `paceline`.
std::vector<std::string> paceline_words(const std::vector<std::string>& arguments);

}  // namespace paceline
