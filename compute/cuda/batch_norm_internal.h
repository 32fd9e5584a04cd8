// BatchNorm in training, in one family of kernels: statistics, then normalise (+ add) (+ ReLU);
// backward: sums, then the gradient, with the ReLU's mask taken from the output. Rows are batch x
// height x width; channels lie together (N,H,W,C). Sums run in an order that depends on the shape
// alone: the same bits on every run. Asynchronous on `stream`; nothing allocates.
#pragma once

#include <cuda_runtime_api.h>

#include "paceline/compute/cuda/scalar_internal.h"

namespace paceline::cuda {

struct BatchNormShape {
  std::size_t rows = 0, channels = 0;
  Scalar scalar = Scalar::f32;
};

/// Bytes of scratch that either pass needs.
std::size_t batch_norm_scratch_bytes(const BatchNormShape& shape);

struct BatchNormForward {
  const void* x = nullptr;      ///< [rows, channels]
  const void* other = nullptr;  ///< [rows, channels] added after normalising; null: nothing
  void* y = nullptr;            ///< [rows, channels]; may be x
  const float* weight = nullptr;
  const float* bias = nullptr;
  float* mean = nullptr;               ///< [channels] of the batch, for backward
  float* inverse_deviation = nullptr;  ///< [channels]
  float* running_mean = nullptr;       ///< [channels]
  float* running_variance = nullptr;
  double epsilon = 1e-5;
  /// running = (1 - momentum) running + momentum batch, the variance unbiased where rows > 1; what is
  /// not finite gives way to the batch's. From device memory where given, so that a captured graph
  /// can be told another; else `momentum`.
  double momentum = 0.1;
  const float* device_momentum = nullptr;
  bool relu = false;
};
/// With the batch's statistics; writes mean, inverse_deviation and the running statistics.
void batch_norm_train(cudaStream_t stream, const BatchNormShape& shape,
                      const BatchNormForward& args, void* scratch);
/// With the running statistics, which are only read.
void batch_norm_evaluate(cudaStream_t stream, const BatchNormShape& shape,
                         const BatchNormForward& args);

struct BatchNormBackward {
  const void* x = nullptr;
  const void* y =
      nullptr;  ///< the forward's output: where it is not above 0 a ReLU stops the gradient
  const void* dy = nullptr;    ///< [rows, channels]
  void* dx = nullptr;          ///< may be dy; null: not wanted
  void* dother = nullptr;      ///< dy behind the mask; null: not wanted; never dx
  bool add_to_dother = false;  ///< adds to what is there
  const float* weight = nullptr;
  const float* mean = nullptr;
  const float* inverse_deviation = nullptr;
  void* dweight = nullptr;  ///< [channels] Scalar
  void* dbias = nullptr;
  bool relu = false;
};
void batch_norm_backward(cudaStream_t stream, const BatchNormShape& shape,
                         const BatchNormBackward& args, void* scratch);

}  // namespace paceline::cuda
