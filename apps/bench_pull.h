// `paceline bench pull`: what it is worth to pull straight from the leaders' slots, in the pass of
// the optimiser's update.
#pragma once

#include <nlohmann/json.hpp>

namespace paceline {

/// Vectors of 1, 16 and 64 MiB; the fused pass (update and two pulls, leaders read in place)
/// against copying both leaders, then the update, then each pull. The two are timed in turns;
/// medians.
/// @return {"results":[{"bytes","fused_seconds","separate_seconds","speedup","bytes_per_second"}]},
///         where bytes_per_second is what the fused pass must read and write, over its time
nlohmann::json bench_pull();

}  // namespace paceline
