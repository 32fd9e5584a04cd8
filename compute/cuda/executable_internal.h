// What Device::compile() gives on a GPU: a plan, its memory, its graphs. One thread, whose stream
// (cudaStreamPerThread) all of it is ordered on.
//   CX-1 The first training step with given vectors runs its plan as it is, which loads what is loaded at
//        first use; the second captures it, all later ones launch that graph.
//   CX-2 A graph belongs to the addresses that it was captured with (GraphKey); other vectors or another
//        input buffer have another one.
//   CX-3 train_step() and evaluate() have ended when they return.
// Vectors in host memory are brought along and back: for tests and evaluators; workers' vectors lie on
// the GPU.
#pragma once

#include <memory>

#include "paceline/compute/cuda/convolution_internal.h"
#include "paceline/compute/cuda/plan_internal.h"
#include "paceline/compute/cuda/twins_internal.h"
#include "paceline/compute/device.h"

namespace paceline::cuda {

/// Everything in a captured step that is an address and may differ from call to call.
struct GraphKey {
  const void* x = nullptr;
  const void* weights = nullptr;
  const void* g = nullptr;
  const void* buffers = nullptr;
  const void* images = nullptr;
  const void* cuts = nullptr;
  const void* labels = nullptr;
  const void* scale = nullptr;
  const void* shift = nullptr;
  Shape stored;  ///< of bytes
  bool operator==(const GraphKey&) const = default;
};

/// @param planner  whose cuDNN handle the plan's convolutions use
/// @throws CudaError when there is no memory
std::unique_ptr<Executable> make_executable(const Program& program, const CompileOptions& options,
                                            Precision precision, std::unique_ptr<Plan> plan,
                                            std::unique_ptr<ConvolutionPlanner> planner,
                                            Twins& twins);

}  // namespace paceline::cuda
