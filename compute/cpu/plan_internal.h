// A Program turned into flat lists of steps over one activation arena: what an Executable of the
// CPU runs. Weights are read from the flat vector and gradients written into it directly where
// oneDNN takes our layout, else through a reorder; ReLUs that follow a convolution or a linear
// layer are part of it.
#pragma once

#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "paceline/compute/cpu/activation_arena_internal.h"
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

struct Plan {
  explicit Plan(const dnnl::engine& engine) : arena(engine) {}
  ActivationArena arena;
  std::vector<std::unique_ptr<Step>> forward, backward;  ///< the loss runs between the two
  std::vector<FlatTensor> parameters, gradients;
  std::vector<Gap> gaps;  ///< what padding of the gradient must be zeroed
  dnnl::memory images;    ///< N,H,W,C; bound anew in each call
  dnnl::memory staging;   ///< where a smaller batch is filled up
  dnnl::memory logits, dlogits;
};

/// @param threads  what oneDNN divides the work among; the calling thread's OpenMP setting is left
///                 at it
Result<std::unique_ptr<Plan>> make_plan(const Program& program, const CompileOptions& options,
                                        const dnnl::engine& engine);

}  // namespace paceline
