// The algebra of flat vectors, element by element, in the CPU's order of operations
// (compute/cpu/vector_math.cc), so that both give the same bits. Whoever compiles this must not let
// a*b+c be contracted.
#pragma once

#include "paceline/compute/cuda/packs_internal.h"
#include "paceline/compute/vector_math.h"

namespace paceline::cuda {

/// A step's constants, converted once.
struct StepConstants {
  explicit StepConstants(const Sgd& sgd)
      : eta(static_cast<float>(sgd.learning_rate)),
        delta(static_cast<float>(sgd.momentum)),
        decay(static_cast<float>(sgd.weight_decay)),
        scale(static_cast<float>(sgd.gradient_scale)) {}
  float eta, delta, decay, scale;
};

PACELINE_HOST_DEVICE void step_element(Momentum form, const StepConstants& k, float decay, float& x,
                                       float& m, float g) {
  const float d = k.scale * g + decay * x;
  switch (form) {
    case Momentum::none:
      x -= k.eta * d;
      break;
    case Momentum::heavy_ball:
      m = k.delta * m + d;
      x -= k.eta * m;
      break;
    case Momentum::nesterov:
      m = k.delta * m + d;
      x -= k.eta * (d + k.delta * m);
      break;
    case Momentum::sutskever:
      x -= k.eta * d;
      m -= k.eta * d;
      break;
  }
}
PACELINE_HOST_DEVICE void pull_element(float& x, float strength, float leader) {
  x -= strength * (x - leader);
}

/// Sgd::undecayed as one launch takes it: whatever lies in [first, last) is not decayed.
struct UndecayedRanges {
  static constexpr int kMost = 384;  // a kernel's arguments are 4096 bytes at most
  int count = 0;
  std::uint32_t first[kMost] = {}, last[kMost] = {};  ///< ascending, none empty

  template <int V>
  PACELINE_HOST_DEVICE void decays(std::uint32_t i, float decay, float (&to)[V]) const {
    for (int j = 0; j < V; ++j) to[j] = decay;
    int low = 0, high = count;  // towards the first that ends beyond i
    while (low < high) {
      const int middle = (low + high) / 2;
      if (last[middle] <= i)
        low = middle + 1;
      else
        high = middle;
    }
    for (; low < count && first[low] < i + V; ++low)
      for (int j = 0; j < V; ++j)
        if (i + j >= first[low] && i + j < last[low]) to[j] = 0;
  }
};

/// The ranges of elements [begin, end) for one launch, which counts from `begin`.
/// @param from  what earlier launches have left over; moves on
/// @return where the launch ends: `end`, or before the first range that it has no room for
inline std::size_t take_ranges(UndecayedRanges& to, std::span<const ElementRange>& from,
                               std::size_t begin, std::size_t end) {
  to.count = 0;
  for (; !from.empty() && from.front().first < end; from = from.subspan(1)) {
    const ElementRange& range = from.front();
    const std::size_t last = range.count < end - range.first ? range.first + range.count : end;
    if (range.first >= last) continue;
    if (to.count == UndecayedRanges::kMost) return range.first;
    to.first[to.count] = static_cast<std::uint32_t>(range.first - begin);
    to.last[to.count++] = static_cast<std::uint32_t>(last - begin);
  }
  return end;
}

/// The optimiser's step and the pulls behind it. @tparam G  of the gradient: float or Bf16
template <class G>
struct UpdateElement {
  static constexpr int kMostPulls = 4;
  Momentum form;
  StepConstants constants;
  float* x = nullptr;
  float* m = nullptr;  ///< null without momentum
  const G* g = nullptr;
  Bf16* x16 = nullptr;  ///< x rounded; null: none
  int pulls = 0;
  const float* leaders[kMostPulls] = {};
  float strengths[kMostPulls] = {};
  UndecayedRanges undecayed = {};
  const StepConstants* live =
      nullptr;  ///< not null: count instead of `constants`, as they are then

  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    const StepConstants k = live != nullptr ? *live : constants;
    float my_x[V], my_m[V], my_g[V], decay[V];
    load(x + i, my_x);
    if (m != nullptr) {
      load(m + i, my_m);
    } else {
      for (int j = 0; j < V; ++j) my_m[j] = 0;
    }
    load(g + i, my_g);
    undecayed.decays(static_cast<std::uint32_t>(i), k.decay, decay);
    for (int j = 0; j < V; ++j) step_element(form, k, decay[j], my_x[j], my_m[j], my_g[j]);
    for (int p = 0; p < pulls; ++p) {
      float leader[V];
      load(leaders[p] + i, leader);
      for (int j = 0; j < V; ++j) pull_element(my_x[j], strengths[p], leader[j]);
    }
    store(x + i, my_x);
    if (m != nullptr) store(m + i, my_m);
    if (x16 != nullptr) store(x16 + i, my_x);
  }
};

struct PullElement {
  float* x;
  float strength;
  const float* leader;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    float my_x[V], z[V];
    load(x + i, my_x);
    load(leader + i, z);
    for (int j = 0; j < V; ++j) pull_element(my_x[j], strength, z[j]);
    store(x + i, my_x);
  }
};

struct LookAheadElement {
  float delta;
  float *x, *v;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    float my_x[V], my_v[V];
    load(x + i, my_x);
    load(v + i, my_v);
    for (int j = 0; j < V; ++j) {
      my_v[j] *= delta;
      my_x[j] += my_v[j];
    }
    store(v + i, my_v);
    store(x + i, my_x);
  }
};

struct FillElement {
  float* y;
  float value;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    float v[V];
    for (int j = 0; j < V; ++j) v[j] = value;
    store(y + i, v);
  }
};

struct ScaleElement {
  float* y;
  float a;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    float v[V];
    load(y + i, v);
    for (int j = 0; j < V; ++j) v[j] *= a;
    store(y + i, v);
  }
};

struct AxpyElement {
  float* y;
  float a;
  const float* x;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    float my_y[V], my_x[V];
    load(y + i, my_y);
    load(x + i, my_x);
    for (int j = 0; j < V; ++j) my_y[j] += a * my_x[j];
    store(y + i, my_y);
  }
};

struct DifferenceElement {
  float* d;
  float a;
  const float *x, *y;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    float my_x[V], my_y[V];
    load(x + i, my_x);
    load(y + i, my_y);
    for (int j = 0; j < V; ++j) my_x[j] = a * (my_x[j] - my_y[j]);
    store(d + i, my_x);
  }
};

/// y = (sum of xs, in order) / n; y may be one of them.
struct MeanElement {
  static constexpr int kMost = 256;
  float* y;
  int count;
  const float* xs[kMost];
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    float sum[V], v[V];
    load(xs[0] + i, sum);
    for (int k = 1; k < count; ++k) {
      load(xs[k] + i, v);
      for (int j = 0; j < V; ++j) sum[j] += v[j];
    }
    const float n = static_cast<float>(count);
    for (int j = 0; j < V; ++j) sum[j] /= n;
    store(y + i, sum);
  }
};

}  // namespace paceline::cuda
