// Winograd's products, point by point: matrices [tiles x inputs][inputs x outputs] for convolutions,
// [outputs x tiles][tiles x inputs] for the gradient of weights, in blocks that stay in registers.
// Included by winograd_kernels.cc alone.
#pragma once

#include "paceline/compute/cpu/winograd_points_internal.h"

namespace paceline::winograd {

/// Tiles that a product keeps in registers at once, for a panel of two blocks; and outputs, with two
/// blocks of inputs, for the gradient of weights. Thirty-two registers of 16 lanes, sixteen of 8.
template <class V>
inline constexpr std::size_t kTiles = kLanes<V> == 16 ? 14 : 6;
template <class V>
inline constexpr std::size_t kOutputs = kLanes<V> == 16 ? 8 : 4;

/// products[tiles][blocks] = the sum over inputs of v[.][tile] * u[input][blocks].
template <class V, std::size_t kCount, std::size_t kBlocks>
PACELINE_INLINE void multiply(const float* v, std::size_t v_stride, const float* u,
                              std::size_t input_blocks, float* products) {
  constexpr std::size_t L = kLanes<V>;
  V sums[kCount][kBlocks] = {};
  for (std::size_t block = 0; block < input_blocks; ++block, v += v_stride)
    for (std::size_t lane = 0; lane < L; ++lane, u += kBlocks * L) {
      V weights[kBlocks];
      PACELINE_UNROLL
      for (std::size_t b = 0; b < kBlocks; ++b) weights[b] = load<V>(u + b * L);
      PACELINE_UNROLL
      for (std::size_t k = 0; k < kCount; ++k) {
        const float input = v[k * L + lane];
        PACELINE_UNROLL
        for (std::size_t b = 0; b < kBlocks; ++b) sums[k][b] += weights[b] * input;
      }
    }
  PACELINE_UNROLL
  for (std::size_t k = 0; k < kCount; ++k) {
    PACELINE_UNROLL
    for (std::size_t b = 0; b < kBlocks; ++b) store(products + (k * kBlocks + b) * L, sums[k][b]);
  }
}

/// Of one point, `count` tiles by a panel of kBlocks blocks of outputs; products of up to tile_unit
/// more are written.
template <class V, std::size_t kBlocks>
PACELINE_INLINE void multiply_tiles(const Points& v, std::size_t point, std::size_t count,
                                    const float* u, std::size_t input_blocks, float* products) {
  constexpr std::size_t L = kLanes<V>, kMany = 2 / kBlocks * kTiles<V>, kFew = kMany / 2;
  const float* const from = v.at + point * v.stride;
  for (std::size_t k = 0; k < count; k += kMany) {
    float* const to = products + k * kBlocks * L;
    if (count - k > kFew)
      multiply<V, kMany, kBlocks>(from + k * L, v.tiles * L, u, input_blocks, to);
    else
      multiply<V, kFew, kBlocks>(from + k * L, v.tiles * L, u, input_blocks, to);
  }
}

/// du[outputs][inputs] of kOutputs outputs and kBlocks blocks of inputs.
template <class V, std::size_t kBlocks>
PACELINE_INLINE void accumulate_tiles(std::size_t count, const float* v, std::size_t v_stride,
                                      const float* d, bool add, float* du, std::size_t du_stride) {
  constexpr std::size_t L = kLanes<V>;
  V sums[kOutputs<V>][kBlocks] = {};
  for (std::size_t k = 0; k < count; ++k) {
    V inputs[kBlocks];
    PACELINE_UNROLL
    for (std::size_t b = 0; b < kBlocks; ++b) inputs[b] = load<V>(v + b * v_stride + k * L);
    PACELINE_UNROLL
    for (std::size_t o = 0; o < kOutputs<V>; ++o) {
      PACELINE_UNROLL
      for (std::size_t b = 0; b < kBlocks; ++b) sums[o][b] += inputs[b] * d[k * L + o];
    }
  }
  PACELINE_UNROLL
  for (std::size_t o = 0; o < kOutputs<V>; ++o) {
    PACELINE_UNROLL
    for (std::size_t b = 0; b < kBlocks; ++b) {
      float* const to = du + o * du_stride + b * L;
      store(to, add ? load<V>(to) + sums[o][b] : sums[o][b]);
    }
  }
}

template <class V>
PACELINE_INLINE void accumulate(const Tiling& t, std::size_t point, std::size_t output_block,
                                const Block& inputs, const Block& gradients, bool add, float* du) {
  constexpr std::size_t L = kLanes<V>;
  const std::size_t count = inputs.last - inputs.first;
  const std::size_t width = t.input_blocks * L, v_stride = inputs.points.tiles * L;
  const float* const v = inputs.points.at + point * inputs.points.stride;
  const float* const d = gradients.points.at + point * gradients.points.stride +
                         output_block * gradients.points.tiles * L;
  du += point * L * width;
  for (std::size_t output = 0; output < L; output += kOutputs<V>) {
    float* const to = du + output * width;
    std::size_t block = 0;
    for (; block + 2 <= t.input_blocks; block += 2)
      accumulate_tiles<V, 2>(count, v + block * v_stride, v_stride, d + output, add, to + block * L,
                             width);
    if (block < t.input_blocks)
      accumulate_tiles<V, 1>(count, v + block * v_stride, v_stride, d + output, add, to + block * L,
                             width);
  }
}

}  // namespace paceline::winograd
