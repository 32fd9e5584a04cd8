// The processors that this process may use, and how they lie in the machine: as far as placing
// workers needs to know. The only place that knows hwloc. Threading: any thread.
#pragma once

#include <string>
#include <vector>

#include "paceline/result.h"

namespace paceline {

/// What the system schedules threads on: a hardware thread of a core.
struct Processor {
  unsigned id = 0;  ///< the system's number
  // By number: which core it belongs to, last-level cache it shares, memory it is near to.
  unsigned core = 0, cache = 0, node = 0, package = 0;
};

/// Those that control group and affinity of the calling thread allow, neighbours next to each other.
Result<std::vector<Processor>> read_processors();
/// Those of an imagined machine. @param synthetic  as hwloc writes them: "package:2 core:4 pu:2"
Result<std::vector<Processor>> imagined_processors(const std::string& synthetic);

}  // namespace paceline
