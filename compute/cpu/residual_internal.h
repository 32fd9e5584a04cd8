// What residual networks need beside convolutions and BatchNorm, where no BatchNorm takes it along:
// additions, and shortcuts without parameters.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "paceline/compute/cpu/channel_grid_internal.h"
#include "paceline/compute/cpu/steps_internal.h"

namespace paceline {

/// z = a + b [max 0], element by element of one format. z may be a or b.
class AddStep final : public Step {
 public:
  AddStep(dnnl::memory a, dnnl::memory b, dnnl::memory z, bool relu);
  void run(const Pass& pass) override;

 private:
  dnnl::memory a_, b_, z_;
  std::size_t count_;
  bool relu_;
};

/// Every stride-th pixel of `in`, with channels of zeros before and after; or, with the roles
/// changed, its way back: zeros everywhere but at those pixels.
class PaddedShortcutStep final : public Step {
 public:
  enum class Way { forward, backward };
  /// @param from, to  in blocks or N,H,W,C; `narrow` and `wide` are their grids: those of the
  /// operation's input and output
  PaddedShortcutStep(Way way, dnnl::memory from, dnnl::memory to, ChannelGrid narrow,
                     ChannelGrid wide, std::size_t stride);
  void run(const Pass& pass) override;

 private:
  Way way_;
  dnnl::memory from_, to_;
  ChannelGrid narrow_, wide_;
  std::size_t stride_;
};

}  // namespace paceline
