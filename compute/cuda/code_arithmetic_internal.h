// Codes of vectors, Quant_p, in the CPU's bytes (compute/cpu/vector_math.cc): the norm (f64), the count
// (u64), then four elements a byte. And the sums that norms are made of.
//   Code:  Quant_p(v)_i = ||v||_p sign(v_i) Bernoulli(|v_i| / ||v||_p)
// @source Mishchenko et al. 2019, Definition 1
#pragma once

#include <cmath>

#include "paceline/compute/cuda/packs_internal.h"
#include "paceline/compute/cuda/splitmix_arithmetic_internal.h"

namespace paceline::cuda {

constexpr std::size_t kCodeHeader = 16;

/// What one pass over a vector (or the difference of two) finds out.
struct VectorSums {
  double squares = 0;
  float largest = 0;  ///< by magnitude
  unsigned bad = 0;   ///< 1: something is not finite
};
/// @param difference  of what norms are taken, @param element  of what must be finite
PACELINE_HOST_DEVICE void add_element(VectorSums& to, double difference, float element) {
  to.squares += difference * difference;
  const float magnitude = element < 0 ? -element : element;
  if (!(magnitude <= 3.402823466e+38f)) to.bad = 1;
  if (magnitude > to.largest) to.largest = magnitude;
}
PACELINE_HOST_DEVICE void add_sums(VectorSums& to, const VectorSums& other) {
  to.squares += other.squares;
  to.bad |= other.bad;
  if (other.largest > to.largest) to.largest = other.largest;
}

/// The norm that scales a code; NaN for a vector that is not finite.
PACELINE_HOST_DEVICE double code_scale(const VectorSums& of, bool infinity) {
  if (of.bad != 0) {
    const std::uint64_t bits = 0x7ff8000000000000ull;  // the CPU's: a code is compared in bytes
    double nan;
    std::memcpy(&nan, &bits, sizeof nan);
    return nan;
  }
  return infinity ? static_cast<double>(of.largest) : std::sqrt(of.squares);
}
/// Two bits: 0, 1 for +scale, 2 for -scale. @param state  the stream's before element 0
PACELINE_HOST_DEVICE unsigned code_of(float element, std::size_t i, double scale,
                                      std::uint64_t state) {
  const double value = static_cast<double>(element);
  const bool taken = splitmix_uniform_at(state, i) * scale < (value < 0 ? -value : value);
  return taken ? (value > 0 ? 1u : 2u) : 0u;
}
/// What a code's two bits add. Zero is scaled, too: NaN stays NaN. @param step  a times the scale
PACELINE_HOST_DEVICE float added_by(unsigned bits, float step) {
  return bits == 1 ? step : bits == 2 ? -step : step * 0.0f;
}

}  // namespace paceline::cuda
