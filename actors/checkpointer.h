// The checkpointer asks workers and centre for their states and writes checkpoints from the slots
// that these lie in. Detached, at low priority: nobody waits for the disk. A state is a worker's
// between two of its steps (RoleHost::running); a worker that is asked copies itself and goes on.
//   CP-1 Where workers and a centre make up one state (EASGD, DIANA), or bits matter
//        (--deterministic), everyone who has answered waits until all have: that takes a step of the
//        slowest, never the disk. DIANA's and deterministic workers answer at a common number of
//        steps.
//   CP-2 A request that somebody does not answer is given up after --patience without any step; what
//        cannot be written is a fault, too. Older checkpoints stay, and the run goes on.
//   CP-3 Every worker that ended in good order leaves its last state: the checkpoint of a run's end.
#pragma once

#include "paceline/actors/run_context.h"

namespace paceline {

struct Halt {};    ///< run -> checkpointer: write one now, and let whoever waits for it wait on
struct Halted {};  ///< checkpointer -> run: as well as could be: now end the run
struct Finish {};  ///< run -> checkpointer, when all workers have ended; answered when it is written
struct CheckpointDue {};  ///< to itself: look whether one is

using CheckpointerActor = Typed<caf::result<void>(Begin), caf::result<void>(CheckpointDue),
                                caf::result<void>(Halt), caf::result<bool>(Finish)>;

/// @param run  gets Halted
CheckpointerActor spawn_checkpointer(caf::actor_system& system, RunContext* context,
                                     const caf::actor& run);

}  // namespace paceline

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(paceline::Halt)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(paceline::Halted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(paceline::Finish)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(paceline::CheckpointDue)
