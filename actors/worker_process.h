// A worker that is a process of its own, from inside: attaches to its run's arenas and lives one
// engine's life. Threading: blocks the calling thread.
//   WQ-1 It looks for the node's process all the time: without it there is no run, and it ends.
//   WQ-2 What it has to say has been said before it ends by itself: the last letter is `ended`.
#pragma once

#include <string>

#include "paceline/actors/run.h"

namespace paceline {

/// Which seat of which run.
struct WorkerSeat {
  std::string segment;  ///< of the node's arena
  std::uint32_t rank = 0;
};

/// @param options, network, data  the same as the run's
/// @return an error when it could not even attach; everything later is told to the run
Result<> ride_in_process(caf::actor_system& system, const WorkerSeat& seat,
                         const RunOptions& options, const Network& network, const Data& data);

}  // namespace paceline
