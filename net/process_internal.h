// What /proc tells about a process, one that has ended and waits to be collected included. Private
// to net/.
#pragma once

#include "paceline/net/process.h"

namespace paceline {

struct ProcessState {
  ProcessIdentity identity;
  bool ended = false;  ///< and only waits to be collected
};

/// @return no_such_process when there is none
Result<ProcessState> read_process(std::int32_t pid);

}  // namespace paceline
