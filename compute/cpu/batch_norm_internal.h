// BatchNorm as steps, with what follows it in the same pass over memory: the addition that ends a
// residual block, and the ReLU. The way back takes the gradient of all that in two passes: one for
// the sums over the batch, one for the gradient.
// @source Ioffe and Szegedy 2015, section 3
#pragma once

#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "paceline/compute/cpu/batch_norm_kernels_internal.h"
#include "paceline/compute/cpu/channel_grid_internal.h"
#include "paceline/compute/cpu/steps_internal.h"

namespace paceline {

/// What the way there leaves for the way back, and room for both: per channel, padding included.
struct BatchNormState {
  BatchNormState(const ChannelGrid& grid, const Operation& operation);

  ChannelGrid grid;
  BatchNorm kind;
  std::size_t weight, bias, running_mean, running_variance;  // offsets
  std::vector<float> mean, inverse;                          // 1 / sqrt(variance + epsilon)
  std::vector<float> scale, shift;                           // weight * inverse; bias
  // Sums of each chunk of rows: [chunks][blocks][lanes], twice.
  std::vector<float> first_sums, second_sums;
};

class BatchNormForward final : public Step {
 public:
  /// @param y, z   what is normalised, and the result; in the state's grid
  /// @param other  added before the ReLU; may be empty
  BatchNormForward(std::shared_ptr<BatchNormState> state, dnnl::memory y, dnnl::memory other,
                   dnnl::memory z, bool relu);
  void run(const Pass& pass) override;

 private:
  void take_batch_statistics(const Pass& pass, const float* y);
  void take_running_statistics(const Pass& pass);

  std::shared_ptr<BatchNormState> state_;
  dnnl::memory y_, other_, z_;
  bool relu_;
};

/// Writes the gradients of weight and bias, too.
class BatchNormBackward final : public Step {
 public:
  struct Memories {
    dnnl::memory y;
    dnnl::memory first, second;  ///< the gradient at z, in one or two parts; second may be empty
    dnnl::memory z;              ///< for Mask::from_output
    dnnl::memory dz;  ///< the gradient behind the mask, where it is wanted; may be first or second
    dnnl::memory dy;  ///< may be first, or second
  };
  /// @param mask  how the gradient passes the ReLU
  BatchNormBackward(std::shared_ptr<BatchNormState> state, Memories memories,
                    batch_norm::Mask mask);
  void run(const Pass& pass) override;

 private:
  std::shared_ptr<BatchNormState> state_;
  Memories memories_;
  batch_norm::Mask mask_;
  std::vector<float> slope_, shift_;
};

}  // namespace paceline
