// Who a process is, for words in shared memory that outlive it: a pid alone is soon another's, a
// pid with its start time never is. Threading: any thread.
//   PR-1 Nobody is taken for dead who may be alive: what cannot be read counts as running.
#pragma once

#include <compare>
#include <cstdint>

#include "paceline/result.h"

namespace paceline {

/// A process of this machine, told from all others since the machine started.
struct ProcessIdentity {
  std::int32_t pid = 0;
  std::uint64_t start_time = 0;  ///< clock ticks after boot: /proc/<pid>/stat, field 22
  auto operator<=>(const ProcessIdentity&) const = default;
};

/// @return no_such_process when there is none, or it has ended and only waits to be collected
Result<ProcessIdentity> identify_process(std::int32_t pid);

/// This process. Read once: a child that was forked but not exec'ed still bears its parent's.
const ProcessIdentity& this_process();

/// Whether exactly this process, not another one of the same pid, is still there.
bool is_running(const ProcessIdentity& process);

}  // namespace paceline
