// What a machine or a device can do at most: how fast it multiplies and adds, and how fast it streams
// memory. A step is judged by these two (the roofline of Williams et al. 2009).
#pragma once

#include "paceline/result.h"

namespace paceline {

struct MachineLimits {
  double flops_per_second =
      0;  ///< additions and multiplications; a fused multiply-add counts as two
  double bytes_per_second = 0;  ///< read plus written, from and to memory
};

/// Of the processor: f32 arithmetic from registers alone with its widest vectors; memory that is
/// changed in place, so that each byte counted crosses the bus exactly once, in an array several times
/// larger than the last-level cache. Takes about a second, with nothing else running; the best of several tries, since what disturbs
/// a try makes it slower.
/// @param threads  cores that are measured together
/// @return std::errc::not_enough_memory for the array, or why so many threads cannot be started
Result<MachineLimits> measure_machine_limits(unsigned threads);

}  // namespace paceline
