// Convolutions by Winograd's minimal filtering, as steps: both passes from activation to activation, and
// the gradient of the weights. The arithmetic, and what the letters mean, is told in
// winograd_kernels_internal.h.
//   WG-1 The same bits for any number of threads: they share tiles and points, never a sum.
#pragma once

#include <cstddef>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>

#include "paceline/compute/cpu/steps_internal.h"
#include "paceline/compute/cpu/winograd_kernels_internal.h"
#include "paceline/compute/program.h"

namespace paceline {

/// Counts up when these steps become faster, so that what was chosen before is chosen anew.
inline constexpr int kWinogradVersion = 1;

/// How a pass of a convolution between tensors of these formats falls into tiles.
/// @return empty unless the kernel is 3x3 or 5x5, the stride 1, the padding smaller than the kernel,
///         and both formats have their channels in whole blocks of 16, or of 8
std::optional<winograd::Tiling> winograd_tiling(winograd::Role role, const Convolution& op,
                                                const dnnl::memory::desc& from,
                                                const dnnl::memory::desc& to);
/// The way back by the role that has fewer tiles.
std::optional<winograd::Tiling> winograd_tiling_back(const Convolution& op,
                                                     const dnnl::memory::desc& from,
                                                     const dnnl::memory::desc& to);

/// Where a layer's parameters lie in the flat vector.
struct FlatOffsets {
  std::size_t weight = 0;
  std::optional<std::size_t> bias;
};

class WinogradConvolution final : public Step {
 public:
  /// @param parameters  no bias, and no ReLU, on the way back
  /// @param scratch     of scratch_desc()'s size
  WinogradConvolution(const winograd::Tiling& tiling, FlatOffsets parameters, bool relu,
                      dnnl::memory from, dnnl::memory to, dnnl::memory scratch);
  void run(const Pass& pass) override;

  /// @param threads  as many as will run it
  static dnnl::memory::desc scratch_desc(const winograd::Tiling& tiling, std::size_t threads);

 private:
  winograd::Tiling tiling_;
  FlatOffsets parameters_;
  bool relu_;
  dnnl::memory from_, to_, scratch_;
};

/// Writes the gradients of weight and bias into the flat gradient.
class WinogradWeightGradient final : public Step {
 public:
  WinogradWeightGradient(const winograd::Tiling& tiling, FlatOffsets parameters, dnnl::memory src,
                         dnnl::memory ddst, dnnl::memory scratch);
  void run(const Pass& pass) override;

  static dnnl::memory::desc scratch_desc(const winograd::Tiling& tiling, std::size_t threads);

 private:
  winograd::Tiling tiling_;
  FlatOffsets parameters_;
  dnnl::memory src_, ddst_, scratch_;
};

}  // namespace paceline
