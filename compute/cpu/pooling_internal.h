// Pooling as steps, through N,H,W,C and blocks of channels, shared among threads by image and block.
// A maximum leaves for its way back which pixel of each window won, in a byte where that is enough:
// the way back then reads neither the activation nor the result.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "paceline/compute/cpu/channel_grid_internal.h"
#include "paceline/compute/cpu/pooling_windows_internal.h"
#include "paceline/compute/cpu/steps_internal.h"

namespace paceline {

/// Room for the winners of all windows over such pixels.
dnnl::memory::desc winners_desc(const pooling::Windows& windows, const ChannelGrid& pixels);

class MaxPoolForward final : public Step {
 public:
  /// @param x, y      of one format
  /// @param winners   of winners_desc(); empty: there is no way back
  /// @param positive  x is what a ReLU wrote, and its mask is part of the way back
  MaxPoolForward(pooling::Windows windows, dnnl::memory x, dnnl::memory y, dnnl::memory winners,
                 bool positive);
  void run(const Pass& pass) override;

 private:
  pooling::Windows windows_;
  dnnl::memory x_, y_, winners_;
  ChannelGrid grid_;  // x's
  bool positive_;
};

class MaxPoolBackward final : public Step {
 public:
  /// @param dy, dx   of one format
  /// @param winners  what the way there has left
  MaxPoolBackward(pooling::Windows windows, dnnl::memory dy, dnnl::memory winners, dnnl::memory dx);
  void run(const Pass& pass) override;

 private:
  pooling::Windows windows_;
  dnnl::memory dy_, winners_, dx_;
  ChannelGrid grid_;  // dx's
};

/// Either way of a mean: y of x, or dx of dy.
class AveragePoolStep final : public Step {
 public:
  enum class Way { forward, backward };
  /// @param from, to  of one format
  AveragePoolStep(Way way, pooling::Windows windows, dnnl::memory from, dnnl::memory to);
  void run(const Pass& pass) override;

 private:
  Way way_;
  pooling::Windows windows_;
  dnnl::memory from_, to_;
  ChannelGrid grid_;  // of the pixels
};

}  // namespace paceline
