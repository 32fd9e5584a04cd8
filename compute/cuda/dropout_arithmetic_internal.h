// The masks of compute/dropout_mask_internal.h by position, and what dropout.cu does with them.
#pragma once

#include "paceline/compute/cuda/packs_internal.h"
#include "paceline/compute/cuda/splitmix_arithmetic_internal.h"

namespace paceline::cuda {

/// What a probability becomes, once for all elements.
struct DropoutFactors {
  explicit DropoutFactors(double probability)
      : threshold(static_cast<std::uint64_t>(probability * 0x1p53)),
        scale(static_cast<float>(1.0 / (1.0 - probability))) {}
  std::uint64_t threshold;
  float scale;
};
/// Element e's factor. @param state  splitmix_stream(seed, operation)
PACELINE_HOST_DEVICE float dropout_factor(const DropoutFactors& factors, std::uint64_t state,
                                          std::size_t e) {
  return (splitmix_at(state, e) >> 11) >= factors.threshold ? factors.scale : 0.0f;
}

template <class T>
struct DropoutElement {
  const T* x;
  T* y;
  const std::uint64_t* seed;
  std::uint64_t operation;
  DropoutFactors factors;
  bool add;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    const std::uint64_t state = splitmix_stream(*seed, operation);
    float v[V];
    load(x + i, v);
    for (int j = 0; j < V; ++j) v[j] *= dropout_factor(factors, state, i + j);
    if (add) {
      float old[V];
      load(y + i, old);
      for (int j = 0; j < V; ++j) v[j] += old[j];
    }
    store(y + i, v);
  }
};

}  // namespace paceline::cuda
