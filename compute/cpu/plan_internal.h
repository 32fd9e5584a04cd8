// A Program turned into flat lists of steps over one activation arena: what an Executable of the
// CPU runs. One thread.
#pragma once

#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "paceline/compute/convolution_choice_internal.h"
#include "paceline/compute/cpu/activation_arena_internal.h"
#include "paceline/compute/cpu/convolution_ways_internal.h"
#include "paceline/compute/cpu/steps_internal.h"
#include "paceline/compute/device.h"

namespace paceline {

/// A tensor inside a flat vector, which is bound anew in each call.
struct FlatTensor {
  dnnl::memory memory;
  std::size_t offset = 0;  ///< in f32 elements
};
/// Elements [first, last) of the flat vector that belong to no tensor.
struct Gap {
  std::size_t first = 0, last = 0;
};
struct PlannedStep {
  std::unique_ptr<Step> step;
  OperationCost cost;  ///< seconds: not measured yet
};

struct Plan {
  explicit Plan(const dnnl::engine& engine) : arena(engine) {}
  ActivationArena arena;
  std::vector<PlannedStep> forward, backward;  ///< the loss runs between the two
  std::vector<FlatTensor> parameters, gradients;
  std::vector<Gap> gaps;  ///< what padding of the gradient must be zeroed
  dnnl::memory images;    ///< N,H,W,C; bound anew in each call
  dnnl::memory staging;   ///< where a smaller batch is filled up
  dnnl::memory logits, dlogits;
};

/// @param convolution  DeviceOptions::convolution
/// @pre the calling thread's OpenMP count is the one that the plan will run under
/// @return std::errc::not_supported when oneDNN refuses
Result<std::unique_ptr<Plan>> make_plan(const Program& program, const CompileOptions& options,
                                        const dnnl::engine& engine, ConvolutionChoice& choice,
                                        const std::string& convolution);

}  // namespace paceline
