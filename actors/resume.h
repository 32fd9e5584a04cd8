// A run that goes on from a checkpoint: whether it may, and the state of everything put where the
// roles will find it. Threading: before any role begins.
//   RE-1 A worker that is not in the checkpoint begins at the leader's parameters, with no momentum
//        and images of its own, in the epoch of the others.
#pragma once

#include "paceline/actors/checkpoint.h"
#include "paceline/actors/run_context.h"

namespace paceline {

/// Of the whole budget, over all workers; 0: no bound. A deterministic run shares them evenly.
std::uint64_t planned_steps(const RunOptions& options, const Data& data);

/// Of those, the share of a group that is a process of its own: with even shares, what each of its
/// workers could take.
std::uint64_t planned_for_group(const Place& place, std::uint64_t planned, std::uint32_t group);

/// Whether the options describe a run that can go on from options.resume.
/// @param planned  planned_steps()
/// @return an error that names the contradiction and the remedy
Result<> check_resume(const RunOptions& options, const Network& network, std::uint64_t planned);

/// Steps of all workers that count as taken.
std::uint64_t steps_before(const RunOptions& options);

/// Puts the states into the slots and the run's words where they were.
/// @pre context.arenas has slots for states
void put_back(RunContext& context);

}  // namespace paceline
