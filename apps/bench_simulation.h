// `paceline bench simulation`: how many events a second the simulator works off, and how its time
// and memory grow with the workers.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "paceline/result.h"

namespace paceline {

/// LSGD in f32, links of 2 and 50 us and 10 GB/s, each point in a process of its own, one after the
/// other:
///   "rounds"    100 groups of 100 workers, d = 1,000, 100 rounds in lockstep, gradients of a bowl
///   "events"    the same of d = 1, gradients that cost nothing; in lockstep, and nonblocking with
///               stragglers and delays in random amounts
///   "growth"    groups of 100 workers, 1,000 to 100,000 of d = 100, 25 rounds in lockstep, bowls
/// @param only  the points of that name; empty: all
/// @return {"results": [{"point", "mode", "workers", "groups", "dimension", "steps", "events",
///          "seconds", of processor time in the program and in the system, "wall_seconds",
///          "events_per_second", of processor time, "peak_bytes", resident}]}; an error that names
///          the points when `only` is none of them
Result<nlohmann::json> bench_simulation(const std::string& only);

/// What the process of a point does.
/// @param segment  of the arena that bench_simulation() made
Result<> answer_bench_simulation(const std::string& segment);

/// PREFIX-seconds.svg and PREFIX-bytes.svg: the points "growth", by gnuplot.
/// @param figures  bench_simulation()'s
Result<> plot_growth(const std::string& prefix, const nlohmann::json& figures);

}  // namespace paceline
