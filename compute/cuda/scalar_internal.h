// What the GPU's tensors are made of. Parameters, statistics and running sums are f32 in every
// precision; activations, their gradients, convolution weights as they are multiplied, and the
// gradients of parameters are of the engine's Scalar.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paceline::cuda {

enum class Scalar : std::uint8_t { f32, bf16 };

constexpr std::size_t bytes_of(Scalar scalar) { return scalar == Scalar::f32 ? 4 : 2; }

}  // namespace paceline::cuda
