// What a protocol moves, by count: a run of it in the simulator, in f32, whose gradients are nothing.
#pragma once

#include "paceline/actors/protocol.h"

namespace paceline {

/// Bytes that one worker, the median of all, sends and receives per parameter and local step: whole
/// vectors and codes, not messages. A published vector counts for who serves it and for who reads
/// it, so a follower of LSGD's leader receives, and only the leader sends.
/// @param place  a sequential protocol gets one worker all the same
Result<double> bytes_per_parameter_step(const Protocol& protocol, const Settings& settings,
                                        const Place& place);

}  // namespace paceline
