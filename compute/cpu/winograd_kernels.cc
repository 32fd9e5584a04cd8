#include "paceline/compute/cpu/winograd_kernels_internal.h"

#include <cstring>

#include "paceline/compute/cpu/winograd_products_internal.h"
#include "paceline/compute/cpu/winograd_tiles_internal.h"

namespace paceline::winograd {
namespace {

/// Functions of one family of lanes L, a kernel of side r, tiles of side n.
template <class V, std::size_t r>
struct Family {
  static constexpr std::size_t L = kLanes<V>, n = kSide + 1 - r;

  PACELINE_INLINE static void expand_inputs(const Tiling& t, const Block& to, std::size_t first,
                                            std::size_t last, const float* src) {
    if (t.role == Role::scattered)
      expand_tiles<V, n>(t, t.src, 0, Spread<n, false>(), to, first, last, src);
    else
      expand_tiles<V, kSide>(t, t.src, t.padding, Expand(), to, first, last, src);
  }

  PACELINE_INLINE static void expand_gradients(const Tiling& t, const Block& to, std::size_t first,
                                               std::size_t last, const float* ddst) {
    expand_tiles<V, n>(t, t.dst, 0, Spread<n, true>(), to, first, last, ddst);
  }

  /// A block of inputs and a block of outputs of the weights w, taps[tap][input][output].
  PACELINE_INLINE static void take_taps(const Tiling& t, const float* w, std::size_t input,
                                        std::size_t output, float (&taps)[r * r][L][L]) {
    for (std::size_t tap = 0; tap < r * r; ++tap)
      if (t.role == Role::forward) {
        const std::size_t inputs = t.input_blocks * L;
        for (std::size_t o = 0; o < L; ++o) {
          const float* const from = w + ((output + o) * r * r + tap) * inputs + input;
          for (std::size_t i = 0; i < L; ++i) taps[tap][i][o] = from[i];
        }
      } else {
        const std::size_t to = t.role == Role::mirrored ? r * r - 1 - tap : tap;
        const std::size_t outputs = t.output_blocks * L;
        for (std::size_t i = 0; i < L; ++i)
          std::memcpy(taps[to][i], w + ((input + i) * r * r + tap) * outputs + output,
                      L * sizeof(float));
      }
  }

  PACELINE_INLINE static void expand_weights(const Tiling& t, std::size_t panel, const float* w,
                                             float* u) {
    const std::size_t inputs = t.input_blocks * L;
    float taps[r * r][L][L];
    for (std::size_t lane = 0; lane < t.panel; lane += L)
      for (std::size_t block = 0; block < inputs; block += L) {
        take_taps(t, w, block, panel * t.panel + lane, taps);
        for (std::size_t i = 0; i < L; ++i)
          to_points<V, r>(
              Spread<r, true>(),
              [&](std::size_t y, std::size_t x)
                  __attribute__((always_inline)) { return load<V>(taps[y * r + x][i]); },
              u + (block + i) * t.panel + lane, inputs * t.panel);
      }
  }

  PACELINE_INLINE static void convolve(const Tiling& t, const Block& block, std::size_t panel,
                                       const float* u, Points products, const float* bias,
                                       bool relu, float* dst, const float* src, std::size_t ahead) {
    const std::size_t count = block.last - block.first, blocks = t.panel / L;
    for (std::size_t point = 0; point < kPoints; ++point, u += t.input_blocks * L * t.panel) {
      const Share written(block.first, block.last, point);
      fetch<true>(t, t.dst, written.first, written.last, panel * blocks, (panel + 1) * blocks, dst);
      const Share read(block.last, block.last + ahead, point);
      fetch<false>(t, t.src, read.first, read.last, 0, t.input_blocks, src);
      float* const to = products.at + point * products.stride;
      if (blocks == 2)
        multiply_tiles<V, 2>(block.points, point, count, u, t.input_blocks, to);
      else
        multiply_tiles<V, 1>(block.points, point, count, u, t.input_blocks, to);
    }
    const Block made{block.first, block.last, products};
    if (t.role == Role::scattered)
      scatter_tiles<V>(t, made, panel, dst);
    else
      contract_tiles<V, n>(t, made, panel, bias, relu, dst);
  }

  PACELINE_INLINE static void contract_weights(const Tiling& t, std::size_t output_block,
                                               const float* du, float* dw) {
    const std::size_t inputs = t.input_blocks * L;
    dw += output_block * L * r * r * inputs;
    for (std::size_t output = 0; output < L; ++output)
      for (std::size_t input = 0; input < inputs; input += L)
        from_points<V, r>(
            du + output * inputs + input, L * inputs,
            Gather<r>(), [&](std::size_t y, const V(&values)[r]) __attribute__((always_inline)) {
              PACELINE_UNROLL
              for (std::size_t x = 0; x < r; ++x)
                store(dw + ((output * r + y) * r + x) * inputs + input, values[x]);
            });
  }

  PACELINE_INLINE static void sum_outputs(const Tiling& t, std::size_t output_block,
                                          const float* ddst, float* dbias) {
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
};

// Each family is compiled for the instruction set whose vectors it fills, and once for any other.
#if defined(__x86_64__) && defined(__ELF__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PACELINE_CLONES_16 __attribute__((target_clones("avx512f", "default")))
#define PACELINE_CLONES_8 __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define PACELINE_CLONES_16
#define PACELINE_CLONES_8
#endif

}  // namespace

// clang-format off
#define PACELINE_FAMILY(name, V, r, CLONES)                                                        \
  namespace name {                                                                                 \
  using Of = Family<V, r>;                                                                         \
  CLONES void expand_inputs(const Tiling& t, const Block& to, std::size_t first, std::size_t last, \
                            const float* src) {                                                    \
    Of::expand_inputs(t, to, first, last, src);                                                    \
  }                                                                                                \
  CLONES void expand_weights(const Tiling& t, std::size_t panel, const float* w, float* u) {       \
    Of::expand_weights(t, panel, w, u);                                                            \
  }                                                                                                \
  CLONES void convolve(const Tiling& t, const Block& block, std::size_t panel, const float* u,     \
                       Points products, const float* bias, bool relu, float* dst,                  \
                       const float* src, std::size_t ahead) {                                      \
    Of::convolve(t, block, panel, u, products, bias, relu, dst, src, ahead);                       \
  }                                                                                                \
  CLONES void expand_gradients(const Tiling& t, const Block& to, std::size_t first,                \
                               std::size_t last, const float* ddst) {                              \
    Of::expand_gradients(t, to, first, last, ddst);                                                \
  }                                                                                                \
  CLONES void sum_products(const Tiling& t, std::size_t point, std::size_t output_block,           \
                           const Block& inputs, const Block& gradients, bool add, float* du) {     \
    accumulate<V>(t, point, output_block, inputs, gradients, add, du);                             \
  }                                                                                                \
  CLONES void contract_weights(const Tiling& t, std::size_t output_block, const float* du,         \
                               float* dw) {                                                        \
    Of::contract_weights(t, output_block, du, dw);                                                 \
  }                                                                                                \
  CLONES void sum_outputs(const Tiling& t, std::size_t output_block, const float* ddst,            \
                          float* dbias) {                                                          \
    Of::sum_outputs(t, output_block, ddst, dbias);                                                 \
  }                                                                                                \
  constexpr Kernels kKernels = {2 * kTiles<V>,    expand_inputs, expand_weights,   convolve,       \
                                expand_gradients, sum_products,  contract_weights, sum_outputs};   \
  }
PACELINE_FAMILY(lanes16_kernel3, Lanes16, 3, PACELINE_CLONES_16)
PACELINE_FAMILY(lanes16_kernel5, Lanes16, 5, PACELINE_CLONES_16)
PACELINE_FAMILY(lanes8_kernel3, Lanes8, 3, PACELINE_CLONES_8)
PACELINE_FAMILY(lanes8_kernel5, Lanes8, 5, PACELINE_CLONES_8)
// clang-format on

const Kernels& kernels(const Tiling& t) {
  if (t.lanes == 16) return t.kernel == 3 ? lanes16_kernel3::kKernels : lanes16_kernel5::kKernels;
  return t.kernel == 3 ? lanes8_kernel3::kKernels : lanes8_kernel5::kKernels;
}

void fetch_ahead(const Tiling& t, std::size_t first, std::size_t last, std::size_t point,
                 const float* src, const float* ddst) {
  const Share share(first, last, point);
  fetch<false>(t, t.src, share.first, share.last, 0, t.input_blocks, src);
  fetch<false>(t, t.dst, share.first, share.last, 0, t.output_blocks, ddst);
}

Tiling::Tiling(Role of, const ChannelGrid& source, const ChannelGrid& destination,
               std::size_t kernel_side, std::size_t padding_side)
    : role(of),
      src(source),
      dst(destination),
      kernel(kernel_side),
      lanes(src.lanes),
      padding(role == Role::mirrored ? kernel - 1 - padding_side : padding_side),
      side(kSide + 1 - kernel) {
  const ChannelGrid& tiled = role == Role::scattered ? src : dst;
  high = (tiled.height + side - 1) / side;
  wide = (tiled.width + side - 1) / side;
  count = tiled.images * high * wide;
  input_blocks = src.channels / lanes;
  output_blocks = dst.channels / lanes;
  panel = output_blocks % 2 == 0 ? 2 * lanes : lanes;
}

}  // namespace paceline::winograd
