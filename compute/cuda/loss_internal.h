// Softmax cross entropy: the loss's sum, the number of errors and the gradient in one kernel; a
// second adds the rows' parts in order. Asynchronous on `stream`.
#pragma once

#include <cuda_runtime_api.h>

#include "paceline/compute/cuda/scalar_internal.h"

namespace paceline::cuda {

struct LossShape {
  std::size_t images = 0, classes = 0;
  Scalar scalar = Scalar::f32;
};
/// What a batch adds up to; lies in device or mapped host memory.
struct LossSums {
  double loss = 0;  ///< over the images; with the smoothing where there is a gradient
  unsigned long long errors =
      0;  ///< images whose largest logit (the first of equals; a NaN is larger
          ///< than nothing) is not the label's
};
std::size_t loss_scratch_bytes(const LossShape& shape);
/// @param logits  [images, classes] Scalar, @param labels  [images]
/// @param f32_logits  [images, classes] copies for people; null: none
/// @param dlogits  [images, classes] Scalar: the gradient of the mean over `images`; null: none
void softmax_cross_entropy(cudaStream_t stream, const LossShape& shape, const void* logits,
                           const std::int32_t* labels, double label_smoothing, float* f32_logits,
                           void* dlogits, LossSums* sums, void* scratch);

}  // namespace paceline::cuda
