// Linear layers by cublasLt, all row-major: y = x W' + b, with b and ReLU in the epilogue where
// cublasLt has one. f32 accumulation; `tf32` lets f32 products round their factors. Algorithms are
// chosen by timing when planned (or, deterministic, the first of the heuristic that is). Addresses
// are multiples of 16; sizes may be odd. One thread and stream.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "paceline/compute/cuda/scalar_internal.h"
#include "paceline/result.h"

namespace paceline::cuda {

struct LinearShape {
  std::size_t rows = 0, in = 0, out = 0;
  Scalar scalar = Scalar::f32;
  bool tf32 = false, bias = true, relu = false;
  bool deterministic = false, training = true;
  bool operator==(const LinearShape&) const = default;
};

class Linear {
 public:
  virtual ~Linear() = default;
  virtual std::size_t workspace_bytes() const = 0;  ///< at most 32 MiB
  /// Whether forward() applies bias and ReLU itself. It does, but for a bias in bf16: cublasLt adds
  /// biases of the product's own type alone. There the caller runs bias_relu() (pointwise) on y.
  virtual bool applies_bias() const = 0;
  /// y = x W' + b [ReLU], or x W' alone (applies_bias()).
  /// @param x  [rows, in], @param weight  [out, in] Scalar, @param bias  [out] f32
  virtual void forward(cudaStream_t stream, const void* x, const void* weight, const float* bias,
                       void* y, void* workspace) = 0;
  /// dx [rows, in] = dz W, overwritten. @param dz  [rows, out], behind the ReLU's mask
  virtual void backward_data(cudaStream_t stream, const void* dz, const void* weight, void* dx,
                             void* workspace) = 0;
  /// dW [out, in] = dz' x, Scalar, overwritten
  virtual void backward_weights(cudaStream_t stream, const void* x, const void* dz, void* dweight,
                                void* workspace) = 0;
};

/// For the calling thread's current GPU. Without `training` forward() is all that there is.
/// @return an error that says which product cublasLt has no algorithm for
Result<std::unique_ptr<Linear>> make_linear(const LinearShape& shape);

}  // namespace paceline::cuda
