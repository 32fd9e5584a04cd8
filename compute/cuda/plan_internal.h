// A Program turned into flat lists of steps over one block of device memory: what an Executable of the
// GPU runs, eagerly or captured as a CUDA graph. Making one needs no GPU where the convolutions' plans
// need none (convolution_internal.h).
//   GP-1 Each step enqueues work on one stream and never waits, allocates or looks at data: it may be
//        captured. All that differs from call to call lies in memory that Bound names.
//   GP-2 A memory is live from the first to the last step that uses it, in the order in which steps
//        run; memories that are never live at once share bytes.
//   GP-3 An activation lies N,H,W,C as the network has it; only the input's channels are filled up
//        with zeros, to what convolutions want, where convolutions alone read it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "paceline/compute/cuda/convolution_internal.h"
#include "paceline/compute/cuda/linear_internal.h"
#include "paceline/compute/cuda/loss_internal.h"
#include "paceline/compute/device.h"
#include "paceline/compute/placement_internal.h"

namespace paceline::cuda {

/// One of a plan's memories.
using MemoryId = std::size_t;

/// Where everything lies in one call.
struct Bound {
  cudaStream_t stream = nullptr;
  std::byte* block = nullptr;          ///< Plan::placement.bytes
  const float* x = nullptr;            ///< [P]
  const void* weights = nullptr;       ///< [P] Scalar: x, or its 16-bit twin
  void* g = nullptr;                   ///< [P] Scalar
  float* buffers = nullptr;            ///< [B]; written in training only
  const void* images = nullptr;        ///< [n,H,W,C] f32, or bytes of RawBatch::stored
  const std::int32_t* cuts = nullptr;  ///< of bytes; null: f32
  const float* scale = nullptr;        ///< of bytes: [C]
  const float* shift = nullptr;
  const std::int32_t* labels = nullptr;
  const std::uint64_t* seed = nullptr;  ///< of this step's dropout
  std::size_t count = 0;                ///< images that are real; the rest are zeros
  float* logits = nullptr;              ///< [n, classes] f32
  LossSums* sums = nullptr;
  bool batch_statistics = false, dropout = false;
  double share = -1;  ///< not below 0: the running statistics' momentum instead of BatchNorm's
  Shape stored;       ///< of bytes
};

struct PlannedStep {
  OperationCost cost;  ///< seconds: not measured yet
  std::function<void(const Bound&)> run;
};

/// Elements [first, last) of the flat vector that belong to no tensor.
struct Gap {
  std::size_t first = 0, last = 0;
};

struct Plan {
  std::vector<PlannedStep> forward, backward;  ///< forward begins with the input
  PlannedStep loss;                            ///< with gradient
  PlannedStep test_loss;                       ///< of Bound::count images, without
  std::vector<Gap> gaps;                       ///< padding of g that must be zeroed
  Placement placement;
  std::size_t unshared_bytes = 0;  ///< if nothing shared bytes
  std::vector<std::unique_ptr<ConvolutionPlan>> convolutions;
  std::vector<std::unique_ptr<Linear>> linears;

  void* at(const Bound& bound, MemoryId memory) const {
    return bound.block + placement.offsets[memory];
  }
};

/// Who makes what a library runs.
struct PlanMakers {
  std::function<Result<std::unique_ptr<ConvolutionPlan>>(const ConvolutionShape&, ConvolutionPass)>
      convolution;
  std::function<Result<std::unique_ptr<Linear>>(const LinearShape&)> linear;
};

/// @return an error that names the operation that cuDNN or cublasLt refuses. Plans do not move.
Result<std::unique_ptr<Plan>> make_plan(const Program& program, const CompileOptions& options,
                                        Precision precision, const PlanMakers& makers);

}  // namespace paceline::cuda
