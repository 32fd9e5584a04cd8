// Pooling, N,H,W,C. A maximum notes in a byte which pixel of its window has won (row order, the
// first of equals; NaN wins as in the reference); the way back gathers, so nothing is atomic.
// Asynchronous on `stream`.
#pragma once

#include <cuda_runtime_api.h>

#include "paceline/compute/cuda/scalar_internal.h"

namespace paceline::cuda {

struct PoolShape {
  std::size_t images = 0, channels = 0;
  std::size_t in_height = 0, in_width = 0, out_height = 0, out_width = 0;
  /// A maximum's kernel is square and at most 15.
  std::size_t kernel_height = 2, kernel_width = 2, stride = 2, padding = 0;
  Scalar scalar = Scalar::f32;
};

/// @param winners  [images, out_height, out_width, channels] bytes; null in evaluation
void max_pool(cudaStream_t stream, const PoolShape& shape, const void* x, void* y,
              std::uint8_t* winners);
/// @param dx  overwritten, or added to
void max_pool_backward(cudaStream_t stream, const PoolShape& shape, const void* dy,
                       const std::uint8_t* winners, void* dx, bool add);
void average_pool(cudaStream_t stream, const PoolShape& shape, const void* x, void* y);
void average_pool_backward(cudaStream_t stream, const PoolShape& shape, const void* dy, void* dx,
                           bool add);

}  // namespace paceline::cuda
