// A run's options as its protocol's settings.
#pragma once

#include "paceline/actors/protocol.h"
#include "paceline/actors/run.h"

namespace paceline {

/// Every option that decides how workers coordinate, by the names that protocols know; the command
/// line's names are the same with dashes. Which of them a protocol takes is its own affair: see
/// Protocol::setting_names.
Settings coordination_settings(const RunOptions& options);

/// Those that the protocol knows, and the run's own (RunOptions::set).
Settings settings_for(const Protocol& protocol, const RunOptions& options);

/// Steps of a worker from one moment at which nothing is on its way between workers, nor between them
/// and a centre, to the next, where the order of events decides nothing (--deterministic).
std::uint64_t settled_every(const Protocol& protocol, const RunOptions& options);

}  // namespace paceline
