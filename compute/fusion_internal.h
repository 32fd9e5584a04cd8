// Which operations of a Program a device runs as one: a ReLU with the convolution, linear layer,
// BatchNorm or addition that it follows, and an addition with the BatchNorm that feeds it. Pure.
//   FU-1 What is fused into an operation runs when that operation runs; all it reads is there by
//        then.
//   FU-2 An activation between fused operations has no other reader; it never exists.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "paceline/compute/program.h"

namespace paceline {

/// What becomes of one operation.
struct Fused {
  bool absorbed = false;            ///< runs as a part of an earlier one
  std::optional<std::size_t> add;   ///< a BatchNorm's: the addition it takes along
  std::optional<std::size_t> relu;  ///< the ReLU it takes along
  std::size_t output = 0;           ///< the activation that it ends up writing
  std::size_t other = 0;            ///< with `add`: the activation that is added
};

struct Fusion {
  explicit Fusion(const Program& program);
  std::vector<Fused> operations;
  std::vector<std::vector<std::size_t>> readers;    ///< of each activation, in order
  std::vector<std::optional<std::size_t>> writers;  ///< of each activation; none for the input
  std::vector<bool> learned;  ///< activations that depend on parameters: those that need gradients
};

}  // namespace paceline
