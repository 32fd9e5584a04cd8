// A process of this one's: started by posix_spawn, never by fork alone, since threads, OpenMP, CAF
// and device libraries do not survive that. Threading: one thread uses a ChildProcess at a time,
// but kill() is for any.
//   CP-1 A child has the default action for every signal and none blocked, and a process group of
//        its own: what a terminal sends reaches its parent alone, who tells it in order.
//   CP-2 A child that calls die_with_parent() first ends with the process that started it, however
//        that ends, stopped or not, and takes away the segments that it leaves behind.
//   CP-3 No descriptor but standard input (empty), output and error goes to the child. Its standard
//        output is its parent's standard error: a parent's own output may be JSON alone. Or both go
//        into a file.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "paceline/net/process.h"
#include "paceline/result.h"

namespace paceline {

/// How a process ended.
struct ProcessEnd {
  static constexpr int kUnknown = -1;  ///< somebody else collected it, or SIGCHLD is ignored
  int code = 0;                        ///< of exit(), or kUnknown; meaningless after a signal
  int signal = 0;                      ///< that killed it; 0: none
  bool orderly() const { return signal == 0 && code == 0; }
  /// For people: "exit code 3", "killed by signal 9 (Killed)".
  std::string words() const;
};

class ChildProcess {
 public:
  /// @param command  the program, looked up in PATH unless it has a slash, and its arguments
  /// @param environment  "NAME=value" to set besides this process's own
  /// @param output  a file for its standard output and error, made anew; empty: this one's error
  /// @return an error that names the program: it cannot be run, or not be watched
  static Result<ChildProcess> start(const std::vector<std::string>& command,
                                    const std::vector<std::string>& environment = {},
                                    const std::string& output = "");

  ChildProcess() = default;  ///< none
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  /// Kills and collects a child that still runs.
  ~ChildProcess();

  explicit operator bool() const { return pidfd_ >= 0; }
  const ProcessIdentity& identity() const { return identity_; }
  /// Readable (poll) when the child has ended.
  int pidfd() const { return pidfd_; }
  /// Sends it a signal; nothing happens when it has ended.
  void kill(int signal) const;
  /// Waits for its end, and collects it. The answer stays the same from then on.
  /// @return nothing when it still runs after `within`
  /// @pre *this
  std::optional<ProcessEnd> wait(std::chrono::nanoseconds within);

 private:
  ProcessIdentity identity_;
  int pidfd_ = -1;
  std::optional<ProcessEnd> end_;
};

/// In a child, first of all: from now on a thread of its own ends this process as soon as its parent
/// has ended.
/// @return no_such_process when the parent is not `parent` any more
Result<> die_with_parent(const ProcessIdentity& parent);

}  // namespace paceline
