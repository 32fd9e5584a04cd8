// What this machine can do at most, measured: how fast its cores multiply and add, and how fast they
// stream memory. A step is judged by these two (the roofline of Williams et al. 2009).
#pragma once

#include "paceline/result.h"

namespace paceline {

struct MachineLimits {
  /// f32 additions and multiplications a second, a fused multiply-add counted as two, from registers
  /// alone with the widest vectors of this CPU.
  double flops_per_second = 0;
  /// Bytes read plus bytes written a second, in place, so that each one counted crosses the memory
  /// bus exactly once; in an array several times larger than the last-level cache.
  double bytes_per_second = 0;
};

/// Takes about a second, with nothing else running; the best of several tries, since what disturbs
/// a try makes it slower.
/// @param threads  cores that are measured together
/// @return std::errc::not_enough_memory for the array, or why so many threads cannot be started
Result<MachineLimits> measure_machine_limits(unsigned threads);

}  // namespace paceline
