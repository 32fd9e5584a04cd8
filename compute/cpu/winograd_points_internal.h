// Winograd's transforms of one dimension, on vectors of channels: between n values and the values of a
// polynomial at six points. Everything is inlined into functions that are compiled for an instruction
// set; included by winograd_kernels.cc and its parts alone.
// @source Lavin and Gray 2016; the points by trial
#pragma once

#include <cstddef>

#include "paceline/compute/cpu/lanes_internal.h"
#include "paceline/compute/cpu/winograd_kernels_internal.h"

#define PACELINE_INLINE [[gnu::always_inline]] inline
// Before loops over vectors that are to stay in registers.
#define PACELINE_UNROLL _Pragma("GCC unroll 32")

namespace paceline::winograd {

template <class V>
inline constexpr std::size_t kLanes = sizeof(V) / sizeof(float);

// The points are 0, +-kNear, +-kFar and infinity: exact in binary, as are their powers. Of the choices
// that were tried they lose the fewest bits, about one less than the usual 1 and 2.
inline constexpr float kNear = 0.75f, kFar = 1.5f;
inline constexpr float kNear2 = kNear * kNear, kFar2 = kFar * kFar;
inline constexpr float kNear3 = kNear2 * kNear, kFar3 = kFar2 * kFar;
inline constexpr float kNear4 = kNear2 * kNear2, kFar4 = kFar2 * kFar2;
inline constexpr float kSum = kNear2 + kFar2, kProduct = kNear2 * kFar2;
// G's factors: 1 over the product of a point's distances from the others.
inline constexpr float kAtZero = 1 / kProduct;
inline constexpr float kAtNear = 1 / (2 * kNear2 * (kNear2 - kFar2));
inline constexpr float kAtFar = 1 / (2 * kFar2 * (kFar2 - kNear2));

/// B' d
struct Expand {
  template <class V>
  PACELINE_INLINE void operator()(const V (&d)[kSide], V (&t)[kSide]) const {
    const V even_near = d[4] - kFar2 * d[2], odd_near = d[3] - kFar2 * d[1];
    const V even_far = d[4] - kNear2 * d[2], odd_far = d[3] - kNear2 * d[1];
    t[0] = kProduct * d[0] + (d[4] - kSum * d[2]);
    t[1] = even_near + kNear * odd_near;
    t[2] = even_near - kNear * odd_near;
    t[3] = even_far + kFar * odd_far;
    t[4] = even_far - kFar * odd_far;
    t[5] = kProduct * d[1] + (d[5] - kSum * d[3]);
  }
};

/// B m, its transpose.
struct Collect {
  template <class V>
  PACELINE_INLINE void operator()(const V (&m)[kSide], V (&d)[kSide]) const {
    const V near = m[1] + m[2], near_odd = kNear * (m[1] - m[2]);
    const V far = m[3] + m[4], far_odd = kFar * (m[3] - m[4]);
    d[0] = kProduct * m[0];
    d[1] = kProduct * m[5] - (kFar2 * near_odd + kNear2 * far_odd);
    d[2] = -kSum * m[0] - (kFar2 * near + kNear2 * far);
    d[3] = near_odd + far_odd - kSum * m[5];
    d[4] = m[0] + near + far;
    d[5] = m[5];
  }
};

/// A x, the values at the points of the polynomial with the n coefficients x; or G x, those times G's
/// factors.
template <std::size_t n, bool kScaled>
struct Spread {
  template <class V>
  PACELINE_INLINE void operator()(const V (&x)[n], V (&t)[kSide]) const {
    V near = x[0], far = x[0], near_odd = x[1], far_odd = x[1];
    if constexpr (n > 2) near += kNear2 * x[2], far += kFar2 * x[2];
    if constexpr (n > 3) near_odd += kNear2 * x[3], far_odd += kFar2 * x[3];
    if constexpr (n > 4) near += kNear4 * x[4], far += kFar4 * x[4];
    if constexpr (kScaled) near *= kAtNear, far *= kAtFar;
    constexpr float near_factor = kScaled ? kAtNear * kNear : kNear;
    constexpr float far_factor = kScaled ? kAtFar * kFar : kFar;
    t[0] = kScaled ? x[0] * kAtZero : x[0];
    t[1] = near + near_factor * near_odd;
    t[2] = near - near_factor * near_odd;
    t[3] = far + far_factor * far_odd;
    t[4] = far - far_factor * far_odd;
    t[5] = x[n - 1];
  }
};

/// A' m
template <std::size_t n>
struct Gather {
  template <class V>
  PACELINE_INLINE void operator()(const V (&m)[kSide], V (&y)[n]) const {
    const V near = m[1] + m[2], near_odd = m[1] - m[2];
    const V far = m[3] + m[4], far_odd = m[3] - m[4];
    y[0] = m[0] + near + far;
    y[1] = kNear * near_odd + kFar * far_odd;
    if constexpr (n > 2) y[2] = kNear2 * near + kFar2 * far;
    if constexpr (n > 3) y[3] = kNear3 * near_odd + kFar3 * far_odd;
    if constexpr (n > 4) y[4] = kNear4 * near + kFar4 * far;
    y[n - 1] += m[5];
  }
};

/// n x n values to all points. @param value  (row, column) -> V
template <class V, std::size_t n, class Transform, class Value>
PACELINE_INLINE void to_points(Transform transform, Value value, float* points,
                               std::size_t stride) {
  V half[kSide][n];
  PACELINE_UNROLL
  for (std::size_t j = 0; j < n; ++j) {
    V column[n], t[kSide];
    PACELINE_UNROLL
    for (std::size_t i = 0; i < n; ++i) column[i] = value(i, j);
    transform(column, t);
    PACELINE_UNROLL
    for (std::size_t i = 0; i < kSide; ++i) half[i][j] = t[i];
  }
  PACELINE_UNROLL
  for (std::size_t i = 0; i < kSide; ++i) {
    V t[kSide];
    transform(half[i], t);
    PACELINE_UNROLL
    for (std::size_t j = 0; j < kSide; ++j) store(points + (i * kSide + j) * stride, t[j]);
  }
}

/// All points to n x n values. @param take  called with each row's number and its n values
template <class V, std::size_t n, class Transform, class Take>
PACELINE_INLINE void from_points(const float* points, std::size_t stride, Transform transform,
                                 Take take) {
  V half[n][kSide];
  PACELINE_UNROLL
  for (std::size_t j = 0; j < kSide; ++j) {
    V m[kSide], values[n];
    PACELINE_UNROLL
    for (std::size_t i = 0; i < kSide; ++i) m[i] = load<V>(points + (i * kSide + j) * stride);
    transform(m, values);
    PACELINE_UNROLL
    for (std::size_t i = 0; i < n; ++i) half[i][j] = values[i];
  }
  PACELINE_UNROLL
  for (std::size_t i = 0; i < n; ++i) {
    V values[n];
    transform(half[i], values);
    take(i, values);
  }
}

}  // namespace paceline::winograd
