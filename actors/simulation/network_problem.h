// A network's loss on data as a problem of the lab: gradients of batches by the real engine in f32, each
// worker with a stream of its own, as in a run. Every trial makes a Training, on its thread.
//   NP-1 The same options, network and data give the same bits: no choice is left to timing.
#pragma once

#include "paceline/actors/run.h"
#include "paceline/actors/simulation/problem.h"

namespace paceline {

/// f is the loss of the first training images, without weight decay; all begin where a run of the
/// seed would.
/// @param usual  batch where none is given, learning rate, device, augmentation
Result<Problem> network_problem(const RunOptions& usual, Network network, Data data);

}  // namespace paceline
