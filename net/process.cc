#include "paceline/net/process.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <string>

#include "process_internal.h"

namespace paceline {

Result<ProcessState> read_process(std::int32_t pid) {
  const std::string path = fmt::format("/proc/{}/stat", pid);
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) {
    if (kill(pid, 0) != 0 && errno == ESRCH)
      return fail(std::errc::no_such_process, "no process {}", pid);
    return fail(std::errc::io_error, "cannot read {}: mount /proc", path);
  }
  // Field 2 is the program's name in parentheses and may hold anything; count after its last one.
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string state, skipped;
  fields >> state;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  ProcessState process{{pid, 0}, state == "Z" || state == "X"};
  if (!(fields >> process.identity.start_time))
    return fail(std::errc::io_error, "cannot read a start time in {}: '{}'", path, line);
  return process;
}

Result<ProcessIdentity> identify_process(std::int32_t pid) {
  PACELINE_TRY(const ProcessState process, read_process(pid));
  if (process.ended) return fail(std::errc::no_such_process, "process {} has ended", pid);
  return process.identity;
}

const ProcessIdentity& this_process() {
  static const ProcessIdentity identity = [] {
    auto self = identify_process(getpid());
    PACELINE_CHECK(self, "{}", self.error().message);
    return self.value();
  }();
  return identity;
}

bool is_running(const ProcessIdentity& process) {
  const auto found = identify_process(process.pid);
  if (!found) return found.error().code != std::errc::no_such_process;
  return found.value() == process;
}

}  // namespace paceline
