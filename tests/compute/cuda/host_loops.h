// The GPU's element functions in loops on the host, as each_element_internal.h and
// column_sums_internal.h would launch them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <type_traits>
#include <vector>

#include "paceline/compute/cuda/column_grid_internal.h"
#include "paceline/compute/cuda/packs_internal.h"
#include "paceline/compute/program.h"
#include "paceline/compute/random.h"

namespace paceline::cuda::test {

/// V elements at a time, the rest one by one.
template <int V, class F>
void each_element(const F& f, std::size_t count) {
  const std::size_t whole = count - count % V;
  for (std::size_t i = 0; i < whole; i += V) f.template at<V>(i);
  for (std::size_t i = whole; i < count; ++i) f.template at<1>(i);
}

/// @pre channels % V == 0
template <int V, class F>
void each_row(const F& f, std::size_t rows, std::size_t channels) {
  for (std::size_t c = 0; c < channels; c += V) {
    const auto of = f.template channels<V>(c);
    for (std::size_t row = 0; row < rows; ++row) f.template at<V>(row * channels + c, of);
  }
}

/// [kSums (+ 1 if shifted)][channels][chunks]
template <int V, class F>
std::vector<float> column_sums(const F& f, const ColumnGrid& grid) {
  struct Sums {
    float of[F::kSums][V] = {};
  };
  std::vector<float> partials((F::kSums + 1) * grid.channels * grid.chunks);
  const auto at = [&](std::size_t k, std::size_t c, std::size_t chunk) -> float& {
    return partials[(k * grid.channels + c) * grid.chunks + chunk];
  };
  for (unsigned chunk = 0; chunk < grid.chunks; ++chunk)
    for (std::size_t c = 0; c < grid.channels; c += V) {
      const std::size_t first = chunk * grid.chunk_rows;
      const auto of = f.template channels<V>(c, first);
      std::vector<Sums> lanes(grid.lanes);
      for (unsigned lane = 0; lane < grid.lanes; ++lane)
        for (std::size_t row = lane; row < grid.rows_of(chunk); row += grid.lanes)
          f.template at<V>((first + row) * grid.channels + c, of, lanes[lane].of);
      for (unsigned half = grid.lanes / 2; half > 0; half /= 2)
        for (unsigned lane = 0; lane < half; ++lane)
          for (int k = 0; k < F::kSums; ++k)
            for (int j = 0; j < V; ++j) lanes[lane].of[k][j] += lanes[lane + half].of[k][j];
      for (int k = 0; k < F::kSums; ++k)
        for (int j = 0; j < V; ++j) at(k, c + j, chunk) = lanes[0].of[k][j];
      if constexpr (F::kShifted)
        for (int j = 0; j < V; ++j) at(F::kSums, c + j, chunk) = f.shift(first, c + j);
    }
  return partials;
}

inline std::vector<float> random_floats(std::size_t count, std::uint64_t stream) {
  Rng rng(42, stream);
  std::vector<float> v(count);
  for (float& e : v) e = static_cast<float>(rng.normal());
  return v;
}

inline void assign(float& to, float value) { to = value; }
inline void assign(Bf16& to, float value) { to = to_bf16(value); }
template <class T>
std::vector<T> stored(const std::vector<float>& values) {
  std::vector<T> as(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) assign(as[i], values[i]);
  return as;
}
template <class T>
std::vector<double> doubles(const std::vector<T>& values) {
  std::vector<double> as(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) as[i] = static_cast<double>(to_float(values[i]));
  return as;
}

/// What rounding to T may add to a sum that is right in f32.
template <class T>
double tolerance(double value) {
  return std::is_same_v<T, float> ? 1e-6 + 1e-5 * std::abs(value) : 1e-6 + 0.005 * std::abs(value);
}
template <class T>
void expect_near(const std::vector<T>& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(double(to_float(got[i])), wanted[i], tolerance<T>(wanted[i])) << "element " << i;
}

inline Shape image(std::size_t channels, std::size_t height, std::size_t width) {
  return {.channels = channels, .height = height, .width = width};
}
}  // namespace paceline::cuda::test
