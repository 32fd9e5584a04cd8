// Convolutions by cuDNN's backend (graph) API: one plan a pass. Activations N,H,W,C, weights
// O,H,W,I, f32 accumulation. Plans are built without a GPU, too, for a device that a text describes
// (cuDNN's DEVICEPROP_JSON): what a heuristic proposes and cuDNN can finalise.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <string>
#include <vector>

#include "paceline/compute/cuda/scalar_internal.h"
#include "paceline/result.h"

namespace paceline::cuda {

/// Channels as they are stored: multiples of 8 (bf16) or 4 (f32), whatever the network says.
struct ConvolutionShape {
  std::size_t images = 0, in_channels = 0, in_height = 0, in_width = 0, out_channels = 0;
  std::size_t kernel = 3, stride = 1, padding = 0;
  Scalar scalar = Scalar::f32;
  bool tf32 = false;
  std::size_t out_height() const { return (in_height + 2 * padding - kernel) / stride + 1; }
  std::size_t out_width() const { return (in_width + 2 * padding - kernel) / stride + 1; }
  bool operator==(const ConvolutionShape&) const = default;
};
enum class ConvolutionPass : std::uint8_t { forward, backward_data, backward_weights };

/// A finalised execution plan. Move-only; one thread at a time.
class ConvolutionPlan {
 public:
  virtual ~ConvolutionPlan() = default;
  virtual std::size_t workspace_bytes() const = 0;
  virtual bool deterministic() const = 0;
  /// Engine and knobs, as cuDNN names them: what a cache remembers.
  virtual std::string name() const = 0;
  /// forward: y = x * w; backward_data: x = ...; backward_weights: w = .... The pass's output is
  /// overwritten. Asynchronous on `stream`; addresses are multiples of 16. The first run of a plan
  /// loads its kernels: one comes before a capture. @throws CudaError
  virtual void run(cudaStream_t stream, void* x, void* w, void* y, void* workspace) = 0;
};

/// cuDNN for one thread; its handle, or where there is no driver the device that a text describes.
class ConvolutionPlanner {
 public:
  virtual ~ConvolutionPlanner() = default;
  /// Up to `most` plans, as the heuristic orders them (mode A, then fallback).
  /// @return an error that names shape and pass when cuDNN has none
  virtual Result<std::vector<std::unique_ptr<ConvolutionPlan>>> plans(const ConvolutionShape& shape,
                                                                      ConvolutionPass pass,
                                                                      bool deterministic,
                                                                      std::size_t most) = 0;
  /// The fastest of eight, by timing on this GPU, or the one that the cache file remembers.
  /// Deterministic: the first deterministic one, nothing is timed.
  virtual Result<std::unique_ptr<ConvolutionPlan>> choose(const ConvolutionShape& shape,
                                                          ConvolutionPass pass,
                                                          bool deterministic) = 0;
};

/// For the calling thread's current GPU.
/// @param cache_file  remembered choices, keyed by GPU, cuDNN, shape and pass; empty: none. That of
///     all workers is ConvolutionChoice::default_file("gpu_convolutions.txt")
Result<std::unique_ptr<ConvolutionPlanner>> make_convolution_planner(const std::string& cache_file);
/// @param device_json  as reference h200.json; choose() is an error there
Result<std::unique_ptr<ConvolutionPlanner>> make_convolution_planner_for(
    const std::string& device_json);

/// "conv 3x3/2 pad 1, 128x32x32x16 -> 128x16x16x32, bf16, backward weights"
std::string describe(const ConvolutionShape& shape, ConvolutionPass pass);

}  // namespace paceline::cuda
