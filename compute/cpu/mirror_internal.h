// Mirrored weights: what turns a convolution's forward pass into a data gradient, and back.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "paceline/compute/cpu/steps_internal.h"

namespace paceline {

/// mirrored[i][o][y][x] = weight[o][i][kernel - 1 - y][kernel - 1 - x].
class MirrorStep final : public Step {
 public:
  /// @param offset    of the weight in the flat vector: O,H,W,I
  /// @param mirrored  of dimensions I,O,H,W, stored as H,W,O,I
  MirrorStep(std::size_t offset, dnnl::memory mirrored);
  void run(const Pass& pass) override;

 private:
  std::size_t offset_;
  dnnl::memory mirrored_;
  std::size_t inputs_, outputs_, taps_;
};

}  // namespace paceline
