// Ranges in a profiler's timeline (NVTX): "step", "pull", "publish". They cost nothing where none listens.
#pragma once

#include <nvtx3/nvToolsExt.h>

namespace paceline::cuda {

/// From its beginning to its end, on the calling thread.
class Range {
 public:
  explicit Range(const char* name) { nvtxRangePushA(name); }
  ~Range() { nvtxRangePop(); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
};

}  // namespace paceline::cuda
