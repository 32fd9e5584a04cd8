#include "paceline/compute/cpu/batch_norm_kernels_internal.h"

#include "paceline/compute/cpu/lanes_internal.h"
#include "paceline/compute/cpu/vectorise_internal.h"

namespace paceline::batch_norm {
namespace {

/// Calls body.operator()<V>(offset of the first row, place among coefficients) for each strip of lanes of
/// each block of each image.
template <class Body>
[[gnu::always_inline]] inline void for_each_column(Stretch s, Body body) {
  for (std::size_t n = 0; n < s.images; ++n)
    for (std::size_t b = 0; b < s.blocks; ++b) {
      const std::size_t at = n * s.stride + b * s.rows * s.lanes;
      for_each_strip(
          s.lanes, [&]<class V>(std::size_t lane) __attribute__((always_inline)) {
            body.template operator()<V>(at + lane, b * s.lanes + lane);
          });
    }
}

/// Calls row(offset, first sum, second sum) for all rows of a column, four at a time with sums of their
/// own, so that additions do not wait in line.
template <class V, class Row>
[[gnu::always_inline]] inline void accumulate(Stretch s, std::size_t at, float* to_first,
                                              float* to_second, Row row) {
  V first[4] = {}, second[4] = {};
  std::size_t r = 0;
  for (; r + 4 <= s.rows; r += 4)
    for (std::size_t k = 0; k < 4; ++k) row(at + (r + k) * s.lanes, first[k], second[k]);
  for (; r < s.rows; ++r) row(at + r * s.lanes, first[0], second[0]);
  store<V>(to_first, load<V>(to_first) + ((first[0] + first[1]) + (first[2] + first[3])));
  store<V>(to_second, load<V>(to_second) + ((second[0] + second[1]) + (second[2] + second[3])));
}

/// Calls row(offset) for all rows of a column.
template <class Row>
[[gnu::always_inline]] inline void for_each_row(Stretch s, std::size_t at, Row row) {
  for (std::size_t r = 0; r < s.rows; ++r) row(at + r * s.lanes);
}

template <class V, bool kSecond, Mask kMask>
[[gnu::always_inline]] inline V gradient(const GradientSource& source, std::size_t at, V centred,
                                         V scale, V bias) {
  V dz = load<V>(source.first + at);
  if constexpr (kSecond) dz += load<V>(source.second + at);
  if constexpr (kMask == Mask::recomputed) dz = centred * scale + bias > V{} ? dz : V{};
  if constexpr (kMask == Mask::from_output) dz = load<V>(source.output + at) > V{} ? dz : V{};
  return dz;
}

template <bool kSecond, Mask kMask, bool kStore>
[[gnu::always_inline]] inline void gradient_sums(Stretch s, const GradientSource& source,
                                                 const float* y, const Coefficients& c, float* dz,
                                                 float* sum, float* products) {
  for_each_column(
      s, [&]<class V>(std::size_t first, std::size_t lane) __attribute__((always_inline)) {
        const V mean = load<V>(c.mean + lane), scale = load<V>(c.scale + lane),
                bias = load<V>(c.bias + lane);
        accumulate<V>(
            s, first, sum + lane, products + lane,
            [&](std::size_t at, V & to_sum, V & to_products) __attribute__((always_inline)) {
              const V centred = load<V>(y + at) - mean;
              const V g = gradient<V, kSecond, kMask>(source, at, centred, scale, bias);
              if constexpr (kStore) store<V>(dz + at, g);
              to_sum += g;
              to_products += g * centred;
            });
      });
}

template <bool kSecond, Mask kMask>
[[gnu::always_inline]] inline void apply_gradient(Stretch s, const GradientSource& source,
                                                  const float* y, const Coefficients& c,
                                                  const float* slope, const float* shift,
                                                  float* dy) {
  for_each_column(
      s, [&]<class V>(std::size_t first, std::size_t lane) __attribute__((always_inline)) {
        const V mean = load<V>(c.mean + lane), scale = load<V>(c.scale + lane),
                bias = load<V>(c.bias + lane), slopes = load<V>(slope + lane),
                shifts = load<V>(shift + lane);
        for_each_row(
            s, first, [&](std::size_t at) __attribute__((always_inline)) {
              const V centred = load<V>(y + at) - mean;
              const V g = gradient<V, kSecond, kMask>(source, at, centred, scale, bias);
              store<V>(dy + at, scale * g + (centred * slopes + shifts));
            });
      });
}

/// Calls f with the template arguments that a source asks for.
template <class F>
[[gnu::always_inline]] inline void with_kind(const GradientSource& source, F f) {
  const auto with_mask = [&]<bool kSecond>() __attribute__((always_inline)) {
    switch (source.mask) {
      case Mask::none:
        return f.template operator()<kSecond, Mask::none>();
      case Mask::recomputed:
        return f.template operator()<kSecond, Mask::recomputed>();
      case Mask::from_output:
        return f.template operator()<kSecond, Mask::from_output>();
    }
  };
  return source.second != nullptr ? with_mask.template operator()<true>()
                                  : with_mask.template operator()<false>();
}

}  // namespace

PACELINE_TARGET_CLONES
void add_statistics(Stretch s, const float* y, const float* pivot, float* sum, float* squares) {
  for_each_column(
      s, [&]<class V>(std::size_t first, std::size_t lane) __attribute__((always_inline)) {
        const V from = load<V>(pivot + lane);
        accumulate<V>(
            s, first, sum + lane, squares + lane,
            [&](std::size_t at, V & to_sum, V & to_squares) __attribute__((always_inline)) {
              const V d = load<V>(y + at) - from;
              to_sum += d;
              to_squares += d * d;
            });
      });
}

PACELINE_TARGET_CLONES
void normalise(Stretch s, const float* y, const float* other, const Coefficients& c, bool relu,
               float* z) {
  const auto pass = [&]<bool kOther, bool kRelu>() __attribute__((always_inline)) {
    for_each_column(
        s, [&]<class V>(std::size_t first, std::size_t lane) __attribute__((always_inline)) {
          const V mean = load<V>(c.mean + lane), scale = load<V>(c.scale + lane),
                  bias = load<V>(c.bias + lane);
          for_each_row(
              s, first, [&](std::size_t at) __attribute__((always_inline)) {
                V v = (load<V>(y + at) - mean) * scale + bias;
                if constexpr (kOther) v += load<V>(other + at);
                if constexpr (kRelu) v = v < V{} ? V{} : v;  // what is no number stays none
                store<V>(z + at, v);
              });
        });
  };
  if (other != nullptr)
    relu ? pass.template operator()<true, true>() : pass.template operator()<true, false>();
  else
    relu ? pass.template operator()<false, true>() : pass.template operator()<false, false>();
}

PACELINE_TARGET_CLONES
void add_gradient_sums(Stretch s, const GradientSource& source, const float* y,
                       const Coefficients& c, float* dz, float* sum, float* products) {
  with_kind(
      source, [&]<bool kSecond, Mask kMask>() __attribute__((always_inline)) {
        if (dz != nullptr)
          gradient_sums<kSecond, kMask, true>(s, source, y, c, dz, sum, products);
        else
          gradient_sums<kSecond, kMask, false>(s, source, y, c, dz, sum, products);
      });
}

PACELINE_TARGET_CLONES
void normalise_gradient(Stretch s, const GradientSource& source, const float* y,
                        const Coefficients& c, const float* slope, const float* shift, float* dy) {
  with_kind(
      source, [&]<bool kSecond, Mask kMask>() __attribute__((always_inline)) {
        apply_gradient<kSecond, kMask>(s, source, y, c, slope, shift, dy);
      });
}

}  // namespace paceline::batch_norm
