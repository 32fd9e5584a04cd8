// What Device::compile() gives on a GPU: a plan, its memory, its graphs. One thread, whose stream
// (cudaStreamPerThread) all of it is ordered on.
//   CX-1 The first training step with given vectors runs its plan as it is, which loads what is loaded at
//        first use; the second captures it, all later ones launch that graph.
//   CX-2 A graph belongs to what it was captured with (GraphKey, captured_steps): other vectors, another
//        input buffer, or an update behind the gradient have another one.
//   CX-3 train_step(), train_and_update() and evaluate() have ended when they return: what the host writes
//        for the next step (seed, learning rate) no step still reads.
//   CX-4 The constants of an update travel with the seed, in the stream's order before the step: another
//        learning rate needs no other graph.
// Vectors in host memory are brought along and back: for tests and evaluators; workers' vectors lie on
// the GPU.
#pragma once

#include <memory>

#include "paceline/compute/cuda/convolution_internal.h"
#include "paceline/compute/cuda/plan_internal.h"
#include "paceline/compute/cuda/twins_internal.h"
#include "paceline/compute/device.h"

namespace paceline::cuda {

/// @param planner  whose cuDNN handle the plan's convolutions use
/// @throws CudaError when there is no memory
std::unique_ptr<Executable> make_executable(const Program& program, const CompileOptions& options,
                                            Precision precision, std::unique_ptr<Plan> plan,
                                            std::unique_ptr<ConvolutionPlanner> planner,
                                            Twins& twins);

}  // namespace paceline::cuda
