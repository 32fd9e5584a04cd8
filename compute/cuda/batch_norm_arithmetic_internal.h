// BatchNorm's arithmetic: what batch_norm.cu does to each element, in the forms of
// column_sums_internal.h and each_element_internal.h, and how it adds up.
//
//   x^ = (x - mean) / sqrt(variance + epsilon);  y = weight x^ + bias (+ other) (ReLU)
//   dx = weight / sqrt(variance + epsilon) (dz - mean(dz) - x^ mean(dz x^)), dz = dy behind the ReLU
//
// Variances stay exact where the mean is far beyond the deviation: a chunk of rows sums differences
// to its first row in f32, and chunks are brought together in double.
// @source Ioffe and Szegedy 2015, Algorithm 1; Chan, Golub, LeVeque 1983 (sums of shifted data)
#pragma once

#include <cmath>

#include "paceline/compute/cuda/packs_internal.h"
#include "paceline/compute/cuda/pointwise_arithmetic_internal.h"

namespace paceline::cuda {

PACELINE_HOST_DEVICE float inverse_deviation_of(double variance, double epsilon) {
  return static_cast<float>(1 / std::sqrt(variance + epsilon));
}

/// Sums of x and its square.
template <class T>
struct BatchNormStatisticsColumn {
  static constexpr int kSums = 2;
  static constexpr bool kShifted = true;
  const T* x;
  std::size_t row_elements;
  template <int V>
  struct Channels {
    float shift[V];
  };
  template <int V>
  PACELINE_HOST_DEVICE Channels<V> channels(std::size_t c, std::size_t first_row) const {
    Channels<V> of;
    load(x + first_row * row_elements + c, of.shift);
    return of;
  }
  PACELINE_HOST_DEVICE float shift(std::size_t first_row, std::size_t c) const {
    return to_float(x[first_row * row_elements + c]);
  }
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i, const Channels<V>& of, float (&sums)[2][V]) const {
    float v[V];
    load(x + i, v);
    for (int j = 0; j < V; ++j) {
      const float d = v[j] - of.shift[j];
      sums[0][j] += d;
      sums[1][j] += d * d;
    }
  }
};

/// What is known of a channel: sums of differences to `origin`.
struct ShiftedSums {
  double origin, sum, squares;
};
/// Adds a chunk's sums of differences to its own shift.
PACELINE_HOST_DEVICE void add_chunk(ShiftedSums& to, double rows, float shift, float sum,
                                    float squares) {
  const double delta = static_cast<double>(shift) - to.origin, s = static_cast<double>(sum);
  to.sum += s + rows * delta;
  to.squares += static_cast<double>(squares) + 2 * delta * s + rows * delta * delta;
}
struct MeanVariance {
  double mean, variance;  ///< biased
};
PACELINE_HOST_DEVICE MeanVariance moments_of(const ShiftedSums& of, double rows) {
  const double variance = (of.squares - of.sum * of.sum / rows) / rows;
  return {of.origin + of.sum / rows, variance < 0 ? 0 : variance};
}
PACELINE_HOST_DEVICE double unbiased(double variance, double rows) {
  return rows > 1 ? variance * (rows / (rows - 1)) : variance;
}
/// A running value, moved; one that is not finite gives way.
PACELINE_HOST_DEVICE float moved(float running, double share, double towards) {
  const bool finite = running - running == 0;
  return static_cast<float>(finite ? (1 - share) * static_cast<double>(running) + share * towards
                                   : towards);
}

/// Normalises.
template <class T>
struct BatchNormElement {
  const T *x, *other;  ///< other may be null
  T* y;
  const float *weight, *bias, *mean;
  const float* inverse_deviation;  ///< null: of `variance`
  const float* variance;
  double epsilon;
  bool relu;
  template <int V>
  struct Channels {
    float mean[V], scale[V], bias[V];
  };
  template <int V>
  PACELINE_HOST_DEVICE Channels<V> channels(std::size_t c) const {
    Channels<V> of;
    for (int j = 0; j < V; ++j) {
      const float inverse =
          inverse_deviation != nullptr
              ? inverse_deviation[c + j]
              : inverse_deviation_of(static_cast<double>(variance[c + j]), epsilon);
      of.mean[j] = mean[c + j];
      of.scale[j] = weight[c + j] * inverse;
      of.bias[j] = bias[c + j];
    }
    return of;
  }
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i, const Channels<V>& of) const {
    float v[V];
    load(x + i, v);
    for (int j = 0; j < V; ++j) v[j] = (v[j] - of.mean[j]) * of.scale[j] + of.bias[j];
    if (other != nullptr) {
      float more[V];
      load(other + i, more);
      for (int j = 0; j < V; ++j) v[j] += more[j];
    }
    if (relu)
      for (int j = 0; j < V; ++j) v[j] = relu_of(v[j]);
    store(y + i, v);
  }
};

/// Sums of dz and dz (x - mean).
template <class T>
struct BatchNormBackwardColumn {
  static constexpr int kSums = 2;
  static constexpr bool kShifted = false;
  const T *x, *y, *dy;
  const float* mean;
  bool relu;
  template <int V>
  struct Channels {
    float mean[V];
  };
  template <int V>
  PACELINE_HOST_DEVICE Channels<V> channels(std::size_t c, std::size_t) const {
    Channels<V> of;
    for (int j = 0; j < V; ++j) of.mean[j] = mean[c + j];
    return of;
  }
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i, const Channels<V>& of, float (&sums)[2][V]) const {
    float v[V], d[V];
    load(x + i, v);
    load(dy + i, d);
    if (relu) {
      float out[V];
      load(y + i, out);
      for (int j = 0; j < V; ++j) d[j] = behind_relu(out[j], d[j]);
    }
    for (int j = 0; j < V; ++j) {
      sums[0][j] += d[j];
      sums[1][j] += d[j] * (v[j] - of.mean[j]);
    }
  }
};

/// A channel's part of what each of its gradients needs: mean(dz), and mean(dz x^) / deviation.
struct BatchNormSlopes {
  float mean_dz, per_difference;
};
/// @param projection  the sum of dz (x - mean)
PACELINE_HOST_DEVICE BatchNormSlopes slopes_of(double sum_dz, double projection,
                                               float inverse_deviation, double rows) {
  const double inverse = static_cast<double>(inverse_deviation);
  return {static_cast<float>(sum_dz / rows),
          static_cast<float>(projection * inverse * inverse / rows)};
}

/// The gradient at x, and what goes on to `other`.
template <class T>
struct BatchNormBackwardElement {
  const T *x, *y, *dy;
  T *dx, *dother;  ///< either may be null
  bool add_to_dother;
  const float *weight, *mean, *inverse_deviation;
  const BatchNormSlopes* slopes;
  bool relu;
  template <int V>
  struct Channels {
    float mean[V], scale[V];
    BatchNormSlopes slopes[V];
  };
  template <int V>
  PACELINE_HOST_DEVICE Channels<V> channels(std::size_t c) const {
    Channels<V> of;
    for (int j = 0; j < V; ++j) {
      of.mean[j] = mean[c + j];
      of.scale[j] = weight[c + j] * inverse_deviation[c + j];
      of.slopes[j] = slopes[c + j];
    }
    return of;
  }
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i, const Channels<V>& of) const {
    float d[V], v[V] = {};
    load(dy + i, d);
    if (relu) {
      load(y + i, v);
      for (int j = 0; j < V; ++j) d[j] = behind_relu(v[j], d[j]);
    }
    if (dx != nullptr) load(x + i, v);
    if (dother != nullptr) {
      float through[V];
      if (add_to_dother) {
        load(dother + i, through);
        for (int j = 0; j < V; ++j) through[j] += d[j];
        store(dother + i, through);
      } else {
        store(dother + i, d);
      }
    }
    if (dx == nullptr) return;
    for (int j = 0; j < V; ++j)
      v[j] = of.scale[j] *
             (d[j] - of.slopes[j].mean_dz - (v[j] - of.mean[j]) * of.slopes[j].per_difference);
    store(dx + i, v);
  }
};

}  // namespace paceline::cuda
