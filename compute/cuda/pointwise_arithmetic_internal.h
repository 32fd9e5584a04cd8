// What pointwise.cu does to each element, in the form that each_element_internal.h launches.
#pragma once

#include "paceline/compute/cuda/packs_internal.h"

namespace paceline::cuda {

/// max(value, 0); a NaN stays.
PACELINE_HOST_DEVICE float relu_of(float value) { return value < 0 ? 0.0f : value; }
/// Of a gradient that comes back, what a ReLU lets through whose output is y.
PACELINE_HOST_DEVICE float behind_relu(float y, float dy) { return y > 0 ? dy : 0.0f; }

template <class T>
struct ReluElement {
  const T* x;
  T* y;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    float v[V];
    load(x + i, v);
    for (int j = 0; j < V; ++j) v[j] = relu_of(v[j]);
    store(y + i, v);
  }
};

template <class T>
struct ReluBackwardElement {
  const T *y, *dy;
  T* dx;
  bool add;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    float out[V], d[V];
    load(y + i, out);
    load(dy + i, d);
    for (int j = 0; j < V; ++j) d[j] = behind_relu(out[j], d[j]);
    if (add) {
      load(dx + i, out);
      for (int j = 0; j < V; ++j) d[j] += out[j];
    }
    store(dx + i, d);
  }
};

template <class T>
struct AddElement {
  const T *a, *b;
  T* y;
  bool relu;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    float v[V], w[V];
    load(a + i, v);
    load(b + i, w);
    for (int j = 0; j < V; ++j) v[j] += w[j];
    if (relu)
      for (int j = 0; j < V; ++j) v[j] = relu_of(v[j]);
    store(y + i, v);
  }
};

template <class From, class To>
struct ConvertElement {
  const From* from;
  To* to;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    float v[V];
    load(from + i, v);
    store(to + i, v);
  }
};

template <class T>
struct BiasReluElement {
  T* y;
  const float* bias;  ///< may be null
  bool relu;
  template <int V>
  struct Channels {
    float bias[V];
  };
  template <int V>
  PACELINE_HOST_DEVICE Channels<V> channels(std::size_t c) const {
    Channels<V> of{};
    if (bias != nullptr)
      for (int j = 0; j < V; ++j) of.bias[j] = bias[c + j];
    return of;
  }
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i, const Channels<V>& of) const {
    float v[V];
    load(y + i, v);
    for (int j = 0; j < V; ++j) v[j] += of.bias[j];
    if (relu)
      for (int j = 0; j < V; ++j) v[j] = relu_of(v[j]);
    store(y + i, v);
  }
};

/// Sums of a bias's gradient (column_sums_internal.h); writes dz on its way.
template <class T>
struct BiasBackwardColumn {
  static constexpr int kSums = 1;
  static constexpr bool kShifted = false;
  const T *y, *dy;
  T* dz;  ///< may be null
  bool relu;
  template <int V>
  struct Channels {};
  template <int V>
  PACELINE_HOST_DEVICE Channels<V> channels(std::size_t, std::size_t) const {
    return {};
  }
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i, const Channels<V>&, float (&sums)[1][V]) const {
    float d[V];
    load(dy + i, d);
    if (relu) {
      float out[V];
      load(y + i, out);
      for (int j = 0; j < V; ++j) d[j] = behind_relu(out[j], d[j]);
    }
    for (int j = 0; j < V; ++j) sums[0][j] += d[j];
    if (dz != nullptr) store(dz + i, d);
  }
};

/// One row's pack [p V, p V + V) of pad_channels().
template <class From, class To>
struct PadElement {
  const From* from;
  To* to;
  std::size_t from_channels, to_channels;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    const std::size_t row = i / to_channels, c = i % to_channels;
    float v[V];
    for (int j = 0; j < V; ++j)
      v[j] = c + j < from_channels ? to_float(from[row * from_channels + c + j]) : 0.0f;
    store(to + i, v);
  }
};

}  // namespace paceline::cuda
