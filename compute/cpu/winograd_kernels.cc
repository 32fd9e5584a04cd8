#include "paceline/compute/cpu/winograd_kernels_internal.h"

#include <algorithm>
#include <cstring>

#include "paceline/compute/cpu/vectorise_internal.h"

#define PACELINE_INLINE [[gnu::always_inline]] inline
// Loops over vectors that are to stay in registers.
#define PACELINE_UNROLL _Pragma("GCC unroll 32")

namespace paceline::winograd {
namespace {

using Lanes16 [[gnu::vector_size(64)]] = float;
using Lanes8 [[gnu::vector_size(32)]] = float;

template <class V>
constexpr std::size_t kLanes = sizeof(V) / sizeof(float);
/// Tiles that a product keeps in registers at once, for panels of two blocks and of one; and outputs,
/// times two blocks of inputs, for the gradient of weights.
template <class V>
constexpr std::size_t kTiles = sizeof(V) == 64 ? 14 : 6;
template <class V>
constexpr std::size_t kOutputs = sizeof(V) == 64 ? 8 : 4;

template <class V>
PACELINE_INLINE V load(const float* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class V>
PACELINE_INLINE void store(float* p, V v) {
  std::memcpy(p, &v, sizeof v);
}

// The points are 0, +-kNear, +-kFar and infinity: exact in binary, as is all that follows from them but
// the last two; of the choices that were tried they lose the fewest bits, half as many again as 1 and 2.
constexpr float kNear = 0.75f, kFar = 1.5f;
constexpr float kNear2 = kNear * kNear, kFar2 = kFar * kFar;
constexpr float kSum = kNear2 + kFar2, kProduct = kNear2 * kFar2;
constexpr float kAtZero = 1 / kProduct, kAtNear = 1 / (2 * kNear2 * (kNear2 - kFar2)),
                kAtFar = 1 / (2 * kFar2 * (kFar2 - kNear2));

/// B' d
template <class V>
PACELINE_INLINE void expand(const V (&d)[6], V (&t)[6]) {
  const V even_near = d[4] - kFar2 * d[2], odd_near = d[3] - kFar2 * d[1];
  const V even_far = d[4] - kNear2 * d[2], odd_far = d[3] - kNear2 * d[1];
  t[0] = kProduct * d[0] + (d[4] - kSum * d[2]);
  t[1] = even_near + kNear * odd_near;
  t[2] = even_near - kNear * odd_near;
  t[3] = even_far + kFar * odd_far;
  t[4] = even_far - kFar * odd_far;
  t[5] = kProduct * d[1] + (d[5] - kSum * d[3]);
}

/// G x: the values of the polynomial with coefficients x at the points, scaled.
template <std::size_t n, class V>
PACELINE_INLINE void spread(const V (&x)[n], V (&t)[6]) {
  V even_near = x[0], even_far = x[0], odd_near = x[1], odd_far = x[1];
  if constexpr (n > 2) even_near += kNear2 * x[2], even_far += kFar2 * x[2];
  if constexpr (n > 3) odd_near += kNear2 * x[3], odd_far += kFar2 * x[3];
  if constexpr (n > 4) {
    even_near += kNear2 * kNear2 * x[4];
    even_far += kFar2 * kFar2 * x[4];
  }
  even_near *= kAtNear;
  even_far *= kAtFar;
  t[0] = x[0] * kAtZero;
  t[1] = even_near + kAtNear * kNear * odd_near;
  t[2] = even_near - kAtNear * kNear * odd_near;
  t[3] = even_far + kAtFar * kFar * odd_far;
  t[4] = even_far - kAtFar * kFar * odd_far;
  t[5] = x[n - 1];
}

/// A' m
template <std::size_t n, class V>
PACELINE_INLINE void gather(const V (&m)[6], V (&y)[n]) {
  const V near = m[1] + m[2], near_odd = m[1] - m[2];
  const V far = m[3] + m[4], far_odd = m[3] - m[4];
  y[0] = m[0] + near + far;
  y[1] = kNear * near_odd + kFar * far_odd;
  if constexpr (n > 2) y[2] = kNear2 * near + kFar2 * far;
  if constexpr (n > 3) y[3] = kNear2 * kNear * near_odd + kFar2 * kFar * far_odd;
  if constexpr (n > 4) y[4] = kNear2 * kNear2 * near + kFar2 * kFar2 * far;
  y[n - 1] += m[5];
}

/// One block of channels of one image.
struct Plane {
  std::size_t offset, row, column;  // strides
};
PACELINE_INLINE Plane plane(const ChannelGrid& grid, std::size_t image, std::size_t block) {
  return {grid.offset(image, block, 0), grid.width * grid.lanes, grid.lanes};
}

alignas(64) constexpr float kZeros[16] = {};

/// A square of n x n pixels whose first is at (y, x), which may lie outside: zeros are there. Calls
/// column(j, its n values).
template <class V, std::size_t n, class Column>
PACELINE_INLINE void for_each_column(const float* p, const Plane& plane, std::size_t height,
                                     std::size_t width, std::size_t y, std::size_t x,
                                     Column column) {
  const float* const corner = p + plane.offset + y * plane.row + x * plane.column;
  if (y < height && y + n <= height && x < width && x + n <= width) {
    PACELINE_UNROLL
    for (std::size_t j = 0; j < n; ++j) {
      V d[n];
      PACELINE_UNROLL
      for (std::size_t i = 0; i < n; ++i) d[i] = load<V>(corner + i * plane.row + j * plane.column);
      column(j, d);
    }
    return;
  }
  PACELINE_UNROLL
  for (std::size_t j = 0; j < n; ++j) {
    V d[n];
    PACELINE_UNROLL
    for (std::size_t i = 0; i < n; ++i)
      d[i] = load<V>(y + i < height && x + j < width ? corner + i * plane.row + j * plane.column
                                                     : kZeros);
    column(j, d);
  }
}

struct Place {
  std::size_t image, y, x;
};
PACELINE_INLINE Place place(const Tiling& t, std::size_t tile) {
  const std::size_t of_image = t.high * t.wide, rest = tile % of_image;
  return {tile / of_image, rest / t.wide * t.side, rest % t.wide * t.side};
}

/// Asks for the pixels of tiles [first, last), side x side of each from its corner on, so that they are
/// near when their turn comes: products leave the memory idle.
template <bool kToWrite>
PACELINE_INLINE void fetch(const Tiling& t, const ChannelGrid& grid, std::size_t first,
                           std::size_t last, std::size_t first_block, std::size_t last_block,
                           const float* p) {
  for (std::size_t tile = first; tile < last; ++tile) {
    const Place at = place(t, tile);
    const std::size_t rows = std::min(grid.height, at.y + t.side);
    const std::size_t columns = std::min(grid.width, at.x + t.side);
    for (std::size_t block = first_block; block < last_block; ++block)
      for (std::size_t y = at.y; y < rows; ++y)
        for (std::size_t x = at.x; x < columns; ++x)
          __builtin_prefetch(p + grid.offset(at.image, block, y * grid.width + x), kToWrite, 2);
  }
}
/// The share of `part` among kPoints of tiles [first, last).
struct Part {
  std::size_t first, last;
};
PACELINE_INLINE Part part_of(std::size_t first, std::size_t last, std::size_t part) {
  return {first + (last - first) * part / kPoints, first + (last - first) * (part + 1) / kPoints};
}

template <class V>
PACELINE_INLINE void expand_inputs(const Tiling& t, const Block& to, std::size_t first,
                                   std::size_t last, const float* src) {
  constexpr std::size_t L = kLanes<V>;
  for (std::size_t block = 0; block < t.input_blocks; ++block) {
    for (std::size_t tile = first; tile < last; ++tile) {
      const Place at = place(t, tile);
      V half[kSide][kSide];
      for_each_column<V, kSide>(
          src, plane(t.src, at.image, block), t.src.height, t.src.width, at.y - t.padding,
          at.x - t.padding, [&](std::size_t j, const V(&d)[kSide]) __attribute__((always_inline)) {
            V points[kSide];
            expand(d, points);
            PACELINE_UNROLL
            for (std::size_t i = 0; i < kSide; ++i) half[i][j] = points[i];
          });
      float* const out = to.points.at + (block * to.points.tiles + tile - to.first) * L;
      PACELINE_UNROLL
      for (std::size_t i = 0; i < kSide; ++i) {
        V points[kSide];
        expand(half[i], points);
        PACELINE_UNROLL
        for (std::size_t j = 0; j < kSide; ++j)
          store(out + (i * kSide + j) * to.points.stride, points[j]);
      }
    }
  }
}

/// n: the tile's side
template <class V, std::size_t n>
PACELINE_INLINE void expand_gradients(const Tiling& t, const Block& to, std::size_t first,
                                      std::size_t last, const float* ddst) {
  constexpr std::size_t L = kLanes<V>;
  for (std::size_t block = 0; block < t.output_blocks; ++block) {
    for (std::size_t tile = first; tile < last; ++tile) {
      const Place at = place(t, tile);
      V half[kSide][n];
      for_each_column<V, n>(
          ddst, plane(t.dst, at.image, block), t.dst.height, t.dst.width, at.y,
          at.x, [&](std::size_t j, const V(&d)[n]) __attribute__((always_inline)) {
            V points[kSide];
            spread(d, points);
            PACELINE_UNROLL
            for (std::size_t i = 0; i < kSide; ++i) half[i][j] = points[i];
          });
      float* const out = to.points.at + (block * to.points.tiles + tile - to.first) * L;
      PACELINE_UNROLL
      for (std::size_t i = 0; i < kSide; ++i) {
        V points[kSide];
        spread(half[i], points);
        PACELINE_UNROLL
        for (std::size_t j = 0; j < kSide; ++j)
          store(out + (i * kSide + j) * to.points.stride, points[j]);
      }
    }
  }
}

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

/// n: the tile's side
template <class V, std::size_t n>
PACELINE_INLINE void contract_outputs(const Tiling& t, const Block& from, std::size_t panel,
                                      const float* bias, bool relu, float* dst) {
  constexpr std::size_t L = kLanes<V>;
  for (std::size_t tile = from.first; tile < from.last; ++tile) {
    const Place at = place(t, tile);
    const std::size_t rows = std::min(n, t.dst.height - at.y);
    const std::size_t columns = std::min(n, t.dst.width - at.x);
    for (std::size_t b = 0; b < t.panel / L; ++b) {
      const float* const in = from.points.at + (tile - from.first) * t.panel + b * L;
      const std::size_t channel_block = panel * (t.panel / L) + b;
      const V shift = bias != nullptr ? load<V>(bias + channel_block * L) : V{};
      V half[n][kSide];
      PACELINE_UNROLL
      for (std::size_t j = 0; j < kSide; ++j) {
        V points[kSide], values[n];
        PACELINE_UNROLL
        for (std::size_t i = 0; i < kSide; ++i)
          points[i] = load<V>(in + (i * kSide + j) * from.points.stride);
        gather(points, values);
        PACELINE_UNROLL
        for (std::size_t i = 0; i < n; ++i) half[i][j] = values[i];
      }
      const Plane to = plane(t.dst, at.image, channel_block);
      float* const corner = dst + to.offset + at.y * to.row + at.x * to.column;
      PACELINE_UNROLL
      for (std::size_t i = 0; i < n; ++i) {
        if (i >= rows) break;
        V values[n];
        gather(half[i], values);
        PACELINE_UNROLL
        for (std::size_t j = 0; j < n; ++j) {
          if (j >= columns) break;
          V y = values[j] + shift;
          if (relu) y = y < V{} ? V{} : y;  // what is no number stays none
          store(corner + i * to.row + j * to.column, y);
        }
      }
    }
  }
}

/// All tiles of one point, kBlocks blocks of outputs.
template <class V, std::size_t kBlocks>
PACELINE_INLINE void multiply_tiles(const Points& v, std::size_t point, std::size_t count,
                                    const float* u, std::size_t input_blocks, float* products) {
  constexpr std::size_t L = kLanes<V>, kMany = 2 / kBlocks * kTiles<V>, kFew = kMany / 2;
  const float* const from = v.at + point * v.stride;
  for (std::size_t k = 0; k < count; k += kMany) {
    const float* const tiles = from + k * L;
    float* const to = products + k * kBlocks * L;
    if (count - k > kFew)
      multiply<V, kMany, kBlocks>(tiles, v.tiles * L, u, input_blocks, to);
    else
      multiply<V, kFew, kBlocks>(tiles, v.tiles * L, u, input_blocks, to);
  }
}

/// n: the tile's side
template <class V, std::size_t n>
PACELINE_INLINE void convolve(const Tiling& t, const Block& block, std::size_t panel,
                              const float* u, Points products, const float* bias, bool relu,
                              float* dst, const float* src, std::size_t ahead) {
  constexpr std::size_t L = kLanes<V>;
  const std::size_t count = block.last - block.first, blocks = t.panel / L;
  for (std::size_t point = 0; point < kPoints; ++point, u += t.input_blocks * L * t.panel) {
    const Part written = part_of(block.first, block.last, point);
    fetch<true>(t, t.dst, written.first, written.last, panel * blocks, (panel + 1) * blocks, dst);
    const Part read = part_of(block.last, block.last + ahead, point);
    fetch<false>(t, t.src, read.first, read.last, 0, t.input_blocks, src);
    float* const to = products.at + point * products.stride;
    if (blocks == 2)
      multiply_tiles<V, 2>(block.points, point, count, u, t.input_blocks, to);
    else
      multiply_tiles<V, 1>(block.points, point, count, u, t.input_blocks, to);
  }
  contract_outputs<V, n>(t, {block.first, block.last, products}, panel, bias, relu, dst);
}

template <class V, std::size_t kBlocks>
PACELINE_INLINE void accumulate_tile(std::size_t count, const float* v, std::size_t v_stride,
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
      accumulate_tile<V, 2>(count, v + block * v_stride, v_stride, d + output, add, to + block * L,
                            width);
    if (block < t.input_blocks)
      accumulate_tile<V, 1>(count, v + block * v_stride, v_stride, d + output, add, to + block * L,
                            width);
  }
}

/// A block of inputs and a block of outputs of the weights w, taps[tap][input][output].
template <std::size_t L, std::size_t r>
PACELINE_INLINE void take_taps(const float* w, std::size_t input, std::size_t inputs,
                               std::size_t output, std::size_t outputs, bool mirrored,
                               float (&taps)[r * r][L][L]) {
  if (mirrored) {
    for (std::size_t i = 0; i < L; ++i)
      for (std::size_t tap = 0; tap < r * r; ++tap)
        std::memcpy(taps[r * r - 1 - tap][i], w + ((input + i) * r * r + tap) * outputs + output,
                    L * sizeof(float));
    return;
  }
  for (std::size_t o = 0; o < L; ++o)
    for (std::size_t tap = 0; tap < r * r; ++tap) {
      const float* const from = w + ((output + o) * r * r + tap) * inputs + input;
      for (std::size_t i = 0; i < L; ++i) taps[tap][i][o] = from[i];
    }
}

/// r: the kernel's side
template <class V, std::size_t r>
PACELINE_INLINE void expand_weights(const Tiling& t, std::size_t panel, const float* w,
                                    bool mirrored, float* u) {
  constexpr std::size_t L = kLanes<V>;
  const std::size_t inputs = t.input_blocks * L, outputs = t.output_blocks * L;
  float taps[r * r][L][L];
  for (std::size_t lane = 0; lane < t.panel; lane += L) {
    for (std::size_t block = 0; block < inputs; block += L) {
      take_taps<L, r>(w, block, inputs, panel * t.panel + lane, outputs, mirrored, taps);
      for (std::size_t i = 0; i < L; ++i) {
        V half[kSide][r];
        PACELINE_UNROLL
        for (std::size_t x = 0; x < r; ++x) {
          V column[r], points[kSide];
          PACELINE_UNROLL
          for (std::size_t y = 0; y < r; ++y) column[y] = load<V>(taps[y * r + x][i]);
          spread(column, points);
          PACELINE_UNROLL
          for (std::size_t p = 0; p < kSide; ++p) half[p][x] = points[p];
        }
        PACELINE_UNROLL
        for (std::size_t p = 0; p < kSide; ++p) {
          V points[kSide];
          spread(half[p], points);
          PACELINE_UNROLL
          for (std::size_t q = 0; q < kSide; ++q)
            store(u + ((p * kSide + q) * inputs + block + i) * t.panel + lane, points[q]);
        }
      }
    }
  }
}

template <class V, std::size_t r>
PACELINE_INLINE void contract_weights(const Tiling& t, std::size_t output_block, const float* du,
                                      float* dw) {
  constexpr std::size_t L = kLanes<V>;
  const std::size_t inputs = t.input_blocks * L, stride = L * inputs;
  dw += output_block * L * r * r * inputs;
  for (std::size_t output = 0; output < L; ++output)
    for (std::size_t input = 0; input < inputs; input += L) {
      const float* const from = du + output * inputs + input;
      V half[r][kSide];
      PACELINE_UNROLL
      for (std::size_t j = 0; j < kSide; ++j) {
        V points[kSide], values[r];
        PACELINE_UNROLL
        for (std::size_t i = 0; i < kSide; ++i)
          points[i] = load<V>(from + (i * kSide + j) * stride);
        gather(points, values);
        PACELINE_UNROLL
        for (std::size_t y = 0; y < r; ++y) half[y][j] = values[y];
      }
      PACELINE_UNROLL
      for (std::size_t y = 0; y < r; ++y) {
        V values[r];
        gather(half[y], values);
        PACELINE_UNROLL
        for (std::size_t x = 0; x < r; ++x)
          store(dw + ((output * r + y) * r + x) * inputs + input, values[x]);
      }
    }
}

template <class V>
PACELINE_INLINE void sum_outputs(const Tiling& t, std::size_t output_block, const float* ddst,
                                 float* dbias) {
  constexpr std::size_t L = kLanes<V>;
  V all = {};
  for (std::size_t image = 0; image < t.dst.images; ++image) {
    const float* const p = ddst + t.dst.offset(image, output_block, 0);
    V sums[4] = {};  // so that additions do not wait in line
    std::size_t row = 0;
    for (; row + 4 <= t.dst.rows(); row += 4) {
      PACELINE_UNROLL
      for (std::size_t k = 0; k < 4; ++k) sums[k] += load<V>(p + (row + k) * L);
    }
    for (; row < t.dst.rows(); ++row) sums[0] += load<V>(p + row * L);
    all += (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
  store(dbias + output_block * L, all);
}

}  // namespace

void fetch_ahead(const Tiling& t, std::size_t first, std::size_t last, std::size_t point,
                 const float* src, const float* ddst) {
  const Part part = part_of(first, last, point);
  fetch<false>(t, t.src, part.first, part.last, 0, t.input_blocks, src);
  fetch<false>(t, t.dst, part.first, part.last, 0, t.output_blocks, ddst);
}

Tiling::Tiling(const ChannelGrid& source, const ChannelGrid& destination, std::size_t kernel_side,
               std::size_t padding_side)
    : src(source),
      dst(destination),
      kernel(kernel_side),
      padding(padding_side),
      lanes(src.lanes),
      side(kSide + 1 - kernel),
      high((dst.height + side - 1) / side),
      wide((dst.width + side - 1) / side),
      count(dst.images * high * wide),
      input_blocks(src.channels / lanes),
      output_blocks(dst.channels / lanes),
      panel(output_blocks % 2 == 0 ? 2 * lanes : lanes) {}

// Each family is compiled for the instruction set whose vectors it fills, and once for any other.
#if defined(__x86_64__) && defined(__ELF__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PACELINE_CLONES_16 __attribute__((target_clones("avx512f", "default")))
#define PACELINE_CLONES_8 __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define PACELINE_CLONES_16
#define PACELINE_CLONES_8
#endif

// clang-format off
#define PACELINE_FAMILY(family, V, CLONES)                                                         \
  namespace family {                                                                               \
  CLONES void expand_inputs(const Tiling& t, const Block& to, std::size_t first, std::size_t last, \
                            const float* src) {                                                    \
    winograd::expand_inputs<V>(t, to, first, last, src);                                           \
  }                                                                                                \
  CLONES void expand_gradients3(const Tiling& t, const Block& to, std::size_t first,               \
                                std::size_t last, const float* ddst) {                             \
    expand_gradients<V, 4>(t, to, first, last, ddst);                                              \
  }                                                                                                \
  CLONES void expand_gradients5(const Tiling& t, const Block& to, std::size_t first,               \
                                std::size_t last, const float* ddst) {                             \
    expand_gradients<V, 2>(t, to, first, last, ddst);                                              \
  }                                                                                                \
  CLONES void expand_weights3(const Tiling& t, std::size_t panel, const float* w, bool mirrored,   \
                              float* u) {                                                          \
    expand_weights<V, 3>(t, panel, w, mirrored, u);                                                \
  }                                                                                                \
  CLONES void expand_weights5(const Tiling& t, std::size_t panel, const float* w, bool mirrored,   \
                              float* u) {                                                          \
    expand_weights<V, 5>(t, panel, w, mirrored, u);                                                \
  }                                                                                                \
  CLONES void convolve3(const Tiling& t, const Block& block, std::size_t panel, const float* u,    \
                        Points products, const float* bias, bool relu, float* dst,                 \
                        const float* src, std::size_t ahead) {                                     \
    convolve<V, 4>(t, block, panel, u, products, bias, relu, dst, src, ahead);                     \
  }                                                                                                \
  CLONES void convolve5(const Tiling& t, const Block& block, std::size_t panel, const float* u,    \
                        Points products, const float* bias, bool relu, float* dst,                 \
                        const float* src, std::size_t ahead) {                                     \
    convolve<V, 2>(t, block, panel, u, products, bias, relu, dst, src, ahead);                     \
  }                                                                                                \
  CLONES void accumulate(const Tiling& t, std::size_t point, std::size_t output_block,             \
                         const Block& inputs, const Block& gradients, bool add, float* du) {       \
    winograd::accumulate<V>(t, point, output_block, inputs, gradients, add, du);                   \
  }                                                                                                \
  CLONES void contract_weights3(const Tiling& t, std::size_t output_block, const float* du,        \
                                float* dw) {                                                       \
    contract_weights<V, 3>(t, output_block, du, dw);                                               \
  }                                                                                                \
  CLONES void contract_weights5(const Tiling& t, std::size_t output_block, const float* du,        \
                                float* dw) {                                                       \
    contract_weights<V, 5>(t, output_block, du, dw);                                               \
  }                                                                                                \
  CLONES void sum_outputs(const Tiling& t, std::size_t output_block, const float* ddst,            \
                          float* dbias) {                                                          \
    winograd::sum_outputs<V>(t, output_block, ddst, dbias);                                        \
  }                                                                                                \
  constexpr Kernels kOf3 = {2 * kTiles<V>,     expand_inputs, expand_gradients3,                   \
                            expand_weights3,   convolve3,     accumulate,                          \
                            contract_weights3, sum_outputs};                                       \
  constexpr Kernels kOf5 = {2 * kTiles<V>,     expand_inputs, expand_gradients5,                   \
                            expand_weights5,   convolve5,     accumulate,                          \
                            contract_weights5, sum_outputs};                                       \
  }
PACELINE_FAMILY(lanes16, Lanes16, PACELINE_CLONES_16)
PACELINE_FAMILY(lanes8, Lanes8, PACELINE_CLONES_8)
// clang-format on

const Kernels& kernels(const Tiling& t) {
  if (t.lanes == 16) return t.kernel == 3 ? lanes16::kOf3 : lanes16::kOf5;
  return t.kernel == 3 ? lanes8::kOf3 : lanes8::kOf5;
}

}  // namespace paceline::winograd
