#include "paceline/compute/cpu/winograd_internal.h"

#include <omp.h>

#include <algorithm>
#include <utility>

#include "paceline/compute/cpu/formats_internal.h"

namespace paceline {
namespace {

using winograd::Block;
using winograd::kernels;
using winograd::kPoints;
using winograd::Points;
using winograd::Role;
using winograd::Tiling;

/// A block's V is to stay in a core's second cache beside what it meets there.
constexpr std::size_t kBlockBytes = 128 * 1024;

std::size_t inputs(const Tiling& t) { return t.input_blocks * t.lanes; }
std::size_t outputs(const Tiling& t) { return t.output_blocks * t.lanes; }
std::size_t panels(const Tiling& t) { return outputs(t) / t.panel; }
std::size_t panel_size(const Tiling& t) { return kPoints * inputs(t) * t.panel; }
std::size_t output_block_size(const Tiling& t) { return kPoints * inputs(t) * t.lanes; }

/// Fewer tiles than weights: all tiles are one block, and the weights, which would not stay in a
/// cache, are expanded part by part where they are needed.
bool few_tiles(const Tiling& t) { return t.count < outputs(t); }

std::size_t round_up(std::size_t count, std::size_t unit) {
  return (count + unit - 1) / unit * unit;
}

/// Tiles of a block, each of so many channels, when `share` tiles are to be had. Scattered, whole
/// images: no two threads add to one.
std::size_t block_tiles(const Tiling& t, std::size_t channels, std::size_t share) {
  if (few_tiles(t)) return share;
  const std::size_t unit = kernels(t).tile_unit;
  const std::size_t tiles =
      std::clamp(kBlockBytes / (kPoints * channels * sizeof(float)) / unit * unit, unit,
                 round_up(share, unit));
  return t.role == Role::scattered ? round_up(tiles, t.high * t.wide) : tiles;
}

/// The points of `tiles` tiles, with room for a unit's worth; and a vector more than they need, lest
/// they all meet in the same sets of the cache.
Points points(const Tiling& t, std::size_t tiles, std::size_t channels) {
  const std::size_t room = round_up(tiles, kernels(t).tile_unit);
  return {nullptr, room, room * channels + t.lanes};
}
std::size_t size(const Points& points) { return kPoints * points.stride; }

float* data(const dnnl::memory& memory) { return static_cast<float*>(memory.get_data_handle()); }

dnnl::memory::desc floats(std::size_t count) { return f32({dim(count)}, Tag::a); }

/// How much of a convolution's scratch all threads share, and each has of its own. Few tiles: V is
/// shared, U of one panel and the products are not. Else: U is shared, V and the products are not.
struct ConvolutionScratch {
  ConvolutionScratch(const Tiling& t, std::size_t threads)
      : tiles(
            block_tiles(t, inputs(t), few_tiles(t) ? t.count : (t.count + threads - 1) / threads)),
        v(points(t, tiles, inputs(t))),
        products(points(t, tiles, t.panel)),
        shared(few_tiles(t) ? size(v) : panels(t) * panel_size(t)),
        own((few_tiles(t) ? panel_size(t) : size(v)) + size(products)) {}

  /// Points everything into the scratch of a thread.
  void lay_out(const Tiling& t, float* scratch, std::size_t thread) {
    float* const mine = scratch + shared + own * thread;
    v.at = few_tiles(t) ? scratch : mine;
    u = few_tiles(t) ? mine : scratch;
    products.at = mine + own - size(products);
  }
  std::size_t tiles;
  Points v, products;
  std::size_t shared, own;
  float* u = nullptr;
};

/// A weight gradient's scratch: V and D; and dU, of which, for few tiles, each thread has one block of
/// outputs.
struct GradientScratch {
  explicit GradientScratch(const Tiling& t)
      : tiles(block_tiles(t, (inputs(t) + outputs(t)) / 2, t.count)),
        v(points(t, tiles, inputs(t))),
        d(points(t, tiles, outputs(t))) {}

  void lay_out(float* scratch) {
    v.at = scratch;
    d.at = v.at + size(v);
    du = d.at + size(d);
  }
  std::size_t tiles;
  Points v, d;
  float* du = nullptr;
};

}  // namespace

std::optional<Tiling> winograd_tiling(Role role, const Convolution& op,
                                      const dnnl::memory::desc& from,
                                      const dnnl::memory::desc& to) {
  if ((op.kernel != 3 && op.kernel != 5) || op.stride != 1 || op.padding >= op.kernel)
    return std::nullopt;
  const std::optional<ChannelGrid> src = channel_grid(from), dst = channel_grid(to);
  if (!src || !dst || src->lanes != dst->lanes || (src->lanes != 16 && src->lanes != 8) ||
      src->channels % src->lanes != 0 || dst->channels % dst->lanes != 0)
    return std::nullopt;
  return Tiling(role, *src, *dst, op.kernel, op.padding);
}

std::optional<Tiling> winograd_tiling_back(const Convolution& op, const dnnl::memory::desc& from,
                                           const dnnl::memory::desc& to) {
  const auto mirrored = winograd_tiling(Role::mirrored, op, from, to);
  const auto scattered = winograd_tiling(Role::scattered, op, from, to);
  return mirrored && scattered->count < mirrored->count ? scattered : mirrored;
}

WinogradConvolution::WinogradConvolution(const Tiling& tiling, FlatOffsets parameters, bool relu,
                                         dnnl::memory from, dnnl::memory to, dnnl::memory scratch)
    : tiling_(tiling),
      parameters_(parameters),
      relu_(relu),
      from_(std::move(from)),
      to_(std::move(to)),
      scratch_(std::move(scratch)) {}

dnnl::memory::desc WinogradConvolution::scratch_desc(const Tiling& tiling, std::size_t threads) {
  const ConvolutionScratch scratch(tiling, threads);
  return floats(scratch.shared + threads * scratch.own);
}

void WinogradConvolution::run(const Pass& pass) {
  const Tiling& t = tiling_;
  const std::size_t threads = static_cast<std::size_t>(omp_get_max_threads());
  const float* const weight = pass.x + parameters_.weight;
  const float* const bias = parameters_.bias ? pass.x + *parameters_.bias : nullptr;
  const float* const from = data(from_);
  float* const to = data(to_);
#pragma omp parallel
  {
    const winograd::Kernels& run = kernels(t);
    ConvolutionScratch scratch(t, threads);
    scratch.lay_out(t, data(scratch_), static_cast<std::size_t>(omp_get_thread_num()));
    if (few_tiles(t)) {
      const Block all{0, t.count, scratch.v};
#pragma omp for schedule(static)
      for (std::size_t tile = 0; tile < t.count; ++tile)
        run.expand_inputs(t, all, tile, tile + 1, from);
#pragma omp for schedule(static)
      for (std::size_t panel = 0; panel < panels(t); ++panel) {
        run.expand_weights(t, panel, weight, scratch.u);
        run.convolve(t, all, panel, scratch.u, scratch.products, bias, relu_, to, from, 0);
      }
    } else {
#pragma omp for schedule(static)
      for (std::size_t panel = 0; panel < panels(t); ++panel)
        run.expand_weights(t, panel, weight, scratch.u + panel * panel_size(t));
#pragma omp for schedule(static)
      for (std::size_t first = 0; first < t.count; first += scratch.tiles) {
        const Block block{first, std::min(t.count, first + scratch.tiles), scratch.v};
        run.expand_inputs(t, block, block.first, block.last, from);
        const std::size_t ahead = std::min(scratch.tiles, t.count - block.last);
        for (std::size_t panel = 0; panel < panels(t); ++panel)
          run.convolve(t, block, panel, scratch.u + panel * panel_size(t), scratch.products, bias,
                       relu_, to, from, panel == 0 ? ahead : 0);
      }
    }
  }
}

WinogradWeightGradient::WinogradWeightGradient(const Tiling& tiling, FlatOffsets parameters,
                                               dnnl::memory src, dnnl::memory ddst,
                                               dnnl::memory scratch)
    : tiling_(tiling),
      parameters_(parameters),
      src_(std::move(src)),
      ddst_(std::move(ddst)),
      scratch_(std::move(scratch)) {}

dnnl::memory::desc WinogradWeightGradient::scratch_desc(const Tiling& tiling, std::size_t threads) {
  const GradientScratch scratch(tiling);
  const std::size_t blocks = few_tiles(tiling) ? threads : tiling.output_blocks;
  return floats(size(scratch.v) + size(scratch.d) + blocks * output_block_size(tiling));
}

void WinogradWeightGradient::run(const Pass& pass) {
  const Tiling& t = tiling_;
  GradientScratch scratch(t);
  scratch.lay_out(data(scratch_));
  const float* const src = data(src_);
  const float* const ddst = data(ddst_);
  float* const dw = pass.g + parameters_.weight;
#pragma omp parallel
  {
    const winograd::Kernels& run = kernels(t);
    const auto du_of = [&](std::size_t block) { return scratch.du + block * output_block_size(t); };
    for (std::size_t origin = 0; origin < t.count; origin += scratch.tiles) {
      const std::size_t end = std::min(t.count, origin + scratch.tiles);
      const Block v{origin, end, scratch.v}, d{origin, end, scratch.d};
      constexpr std::size_t kPart = 4;  // tiles: enough of them for many threads
#pragma omp for schedule(static)
      for (std::size_t first = origin; first < end; first += kPart) {
        run.expand_inputs(t, v, first, std::min(end, first + kPart), src);
        run.expand_gradients(t, d, first, std::min(end, first + kPart), ddst);
      }
      if (few_tiles(t)) {
        float* const du = du_of(static_cast<std::size_t>(omp_get_thread_num()));
#pragma omp for schedule(static)
        for (std::size_t block = 0; block < t.output_blocks; ++block) {
          for (std::size_t point = 0; point < kPoints; ++point)
            run.accumulate(t, point, block, v, d, false, du);
          run.contract_weights(t, block, du, dw);
        }
      } else {
#pragma omp for schedule(static)
        for (std::size_t point = 0; point < kPoints; ++point) {
          fetch_ahead(t, end, std::min(t.count, end + scratch.tiles), point, src, ddst);
          for (std::size_t block = 0; block < t.output_blocks; ++block)
            run.accumulate(t, point, block, v, d, origin > 0, du_of(block));
        }
      }
    }
#pragma omp for schedule(static)
    for (std::size_t block = 0; block < t.output_blocks; ++block) {
      if (!few_tiles(t)) run.contract_weights(t, block, du_of(block), dw);
      if (parameters_.bias) run.sum_outputs(t, block, ddst, pass.g + *parameters_.bias);
    }
  }
}

}  // namespace paceline
