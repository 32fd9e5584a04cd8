// A training step's operations against what the machine can do at most: none is faster than its
// arithmetic at the FMA peak, nor than its bytes at the memory's bandwidth, whichever takes longer.
//   RL-1 Operations are given the work of the direct algorithm and each of their tensors once. Hence
//        one may come out below its roofline: Winograd multiplies less, a cache is faster than memory.
//   RL-2 Reorders between formats and all else without work of its own have a roofline of zero: they
//        count as overhead.
// @source Williams, Waterman, Patterson 2009: Roofline
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "paceline/compute/device.h"
#include "paceline/compute/machine_limits.h"

namespace paceline {

/// Seconds that no such operation can be done in without a better algorithm or a cache.
double roofline_seconds(const OperationCost& cost, const MachineLimits& limits);

/// @param step_seconds  of the whole step, measured without a clock around each operation
/// @return {"flops_per_second_peak", "bytes_per_second_peak", "step_seconds", "operations_seconds"
///         (their sum), "roofline_seconds" (likewise), "reorder_seconds", "times_roofline" (step over
///         roofline), "operations": [{"name","pass","how","seconds","share" (of operations_seconds),
///         "flops","bytes","flops_per_second","bytes_per_second","roofline_seconds"}]}
nlohmann::json roofline(std::span<const OperationCost> costs, const MachineLimits& limits,
                        double step_seconds);

/// The same for people, at most 120 columns wide: the slowest operation first, then the totals.
std::string roofline_table(const nlohmann::json& roofline);

}  // namespace paceline
