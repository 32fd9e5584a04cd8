// Signals while a run goes on. Of SIGINT and SIGTERM the first asks it to end, the second ends the
// program. SIGTSTP (Ctrl-Z) suspends it: this process stops when its workers' have, and they go on
// with it.
//   IN-1 No code of ours runs in a signal handler: the signals are blocked in every thread, and one
//        thread reads them. So an Interrupt is made before any other thread is, and lives on the
//        main thread's stack.
//   IN-2 SIGINT and SIGTERM are heeded even where the starter ignored them, as a shell does for what
//        it runs in the background.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <memory>
#include <string_view>
#include <thread>

#include "paceline/actors/run.h"
#include "paceline/result.h"

namespace paceline {

class Interrupt {
 public:
  /// @param control  of the run to come; outlives this
  /// @param said  to people at the first signal; outlives this
  static Result<std::unique_ptr<Interrupt>> watch(
      RunControl& control,
      std::string_view said =
          "finishing the step, then writing the results; once more ends at once");
  /// Gives the signals back to their former handling.
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

 private:
  Interrupt() = default;
  void listen(RunControl& control, std::string_view said) const;
  static void stop_with_workers(RunControl& control);

  int signals_ = -1, ended_ = -1;  // descriptors
  sigset_t former_{};
  std::thread listener_;
};

}  // namespace paceline
