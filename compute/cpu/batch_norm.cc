#include "paceline/compute/cpu/batch_norm_internal.h"

#include <algorithm>
#include <cmath>

namespace paceline {
namespace {

using batch_norm::Coefficients;
using batch_norm::GradientSource;
using batch_norm::Mask;
using batch_norm::Stretch;

/// Sums in f32 stay this short; longer ones are added up in f64, in order.
constexpr std::size_t kChunkRows = 1024;

/// As much of an image is visited at a time, so that memory comes in one stream.
constexpr std::size_t kPieceBytes = 1 << 17;

/// Images are taken together, or cut in parts, so that a chunk has about kChunkRows rows; blocks are
/// taken together, so that pieces of an image are long. Nothing here depends on the number of threads.
struct Chunks {
  explicit Chunks(const ChannelGrid& g)
      : images(std::clamp<std::size_t>(kChunkRows / g.rows(), 1, g.images)),
        parts((g.rows() + kChunkRows - 1) / kChunkRows),
        count((g.images + images - 1) / images * parts),
        blocks(parts > 1 ? 1
                         : std::clamp<std::size_t>(
                               kPieceBytes / (g.rows() * g.lanes * sizeof(float)), 1, g.blocks)),
        groups((g.blocks + blocks - 1) / blocks) {}
  std::size_t images;  // a chunk, when parts is 1
  std::size_t parts;   // of an image
  std::size_t count;   // of a block
  std::size_t blocks;  // a group, whose chunks are visited together
  std::size_t groups;
};

/// In which order the images are visited. What one pass touched last is still in the caches when the
/// next begins there.
enum class Order { ascending, descending };

/// Calls f(first lane among all channels, where its sums lie, offset, stretch) for all groups' chunks,
/// in parallel; what lies together in memory is visited together.
template <class F>
void for_each_chunk(const ChannelGrid& g, Order order, F f) {
  const Chunks chunks(g);
  const auto all = static_cast<std::ptrdiff_t>(chunks.groups * chunks.count);
#pragma omp parallel for schedule(static)
  for (std::ptrdiff_t k = 0; k < all; ++k) {
    const auto at = static_cast<std::size_t>(order == Order::ascending ? k : all - 1 - k);
    const std::size_t block = at % chunks.groups * chunks.blocks, chunk = at / chunks.groups;
    const std::size_t part = chunk % chunks.parts;
    const std::size_t first = chunk / chunks.parts * chunks.images;
    const std::size_t row = part * kChunkRows;
    const Stretch stretch{.images = std::min(chunks.images, g.images - first),
                          .stride = g.offset(1, 0, 0),
                          .blocks = std::min(chunks.blocks, g.blocks - block),
                          .rows = std::min(kChunkRows, g.rows() - row),
                          .lanes = g.lanes};
    f(block * g.lanes, (chunk * g.blocks + block) * g.lanes, g.offset(first, block, row), stretch);
  }
}

/// Adds up the sums of all chunks, in order; calls f(channel, first, second) for each channel.
template <class F>
void for_each_total(const BatchNormState& state, F f) {
  const ChannelGrid& g = state.grid;
  const std::size_t chunks = Chunks(g).count;
  for (std::size_t c = 0; c < g.channels; ++c) {
    double first = 0, second = 0;
    for (std::size_t k = 0; k < chunks; ++k) {
      first += state.first_sums[k * g.padded_channels() + c];
      second += state.second_sums[k * g.padded_channels() + c];
    }
    f(c, first, second);
  }
}

const float* constant(const dnnl::memory& memory) {
  return memory ? static_cast<const float*>(memory.get_data_handle()) : nullptr;
}
float* variable(const dnnl::memory& memory) {
  return memory ? static_cast<float*>(memory.get_data_handle()) : nullptr;
}
/// p + at, or nothing.
template <class T>
T* after(T* p, std::size_t at) {
  return p != nullptr ? p + at : nullptr;
}

/// From a lane among all channels on.
Coefficients coefficients(const BatchNormState& state, std::size_t lane) {
  return {state.mean.data() + lane, state.scale.data() + lane, state.shift.data() + lane};
}

}  // namespace

BatchNormState::BatchNormState(const ChannelGrid& g, const Operation& operation)
    : grid(g),
      kind(std::get<BatchNorm>(operation.kind)),
      weight(operation.weight),
      bias(operation.bias),
      running_mean(operation.running_mean),
      running_variance(operation.running_variance),
      mean(g.padded_channels()),
      inverse(g.padded_channels()),
      scale(g.padded_channels()),  // lanes that are no channels keep 0 and make 0 of 0
      shift(g.padded_channels()),
      first_sums(g.blocks * Chunks(g).count * g.lanes),
      second_sums(first_sums.size()) {}

BatchNormForward::BatchNormForward(std::shared_ptr<BatchNormState> state, dnnl::memory y,
                                   dnnl::memory other, dnnl::memory z, bool relu)
    : state_(std::move(state)),
      y_(std::move(y)),
      other_(std::move(other)),
      z_(std::move(z)),
      relu_(relu) {}

void BatchNormForward::run(const Pass& pass) {
  BatchNormState& s = *state_;
  const float* const y = constant(y_);
  if (pass.batch_statistics)
    take_batch_statistics(pass, y);
  else
    take_running_statistics(pass);
  for (std::size_t c = 0; c < s.grid.channels; ++c) {
    s.scale[c] = pass.x[s.weight + c] * s.inverse[c];
    s.shift[c] = pass.x[s.bias + c];
  }
  const float* const other = constant(other_);
  float* const z = variable(z_);
  for_each_chunk(s.grid, Order::ascending,
                 [&](std::size_t lane, std::size_t, std::size_t at, Stretch stretch) {
                   batch_norm::normalise(stretch, y + at, after(other, at), coefficients(s, lane),
                                         relu_, z + at);
                 });
}

void BatchNormForward::take_batch_statistics(const Pass& pass, const float* y) {
  BatchNormState& s = *state_;
  const ChannelGrid& g = s.grid;
  // Squares of differences from a value of the channel itself lose no digits to a large mean.
  for (std::size_t c = 0; c < g.channels; ++c)
    s.mean[c] = y[g.offset(0, c / g.lanes, 0) + c % g.lanes];
  std::ranges::fill(s.first_sums, 0.0f);
  std::ranges::fill(s.second_sums, 0.0f);
  for_each_chunk(g, Order::descending,
                 [&](std::size_t lane, std::size_t sums, std::size_t at, Stretch stretch) {
                   batch_norm::add_statistics(stretch, y + at, s.mean.data() + lane,
                                              &s.first_sums[sums], &s.second_sums[sums]);
                 });
  const double n = static_cast<double>(g.images * g.rows());
  const double share = pass.share < 0 ? s.kind.momentum : pass.share;
  const auto move = [&](float& running, double to) {
    running = static_cast<float>(std::isfinite(running) ? (1 - share) * running + share * to : to);
  };
  for_each_total(s, [&](std::size_t c, double sum, double squares) {
    const double shift = sum / n;
    const double mean = s.mean[c] + shift;
    const double variance = std::max(0.0, squares / n - shift * shift);
    s.mean[c] = static_cast<float>(mean);
    s.inverse[c] = static_cast<float>(1 / std::sqrt(variance + s.kind.epsilon));
    move(pass.buffers[s.running_mean + c], mean);
    move(pass.buffers[s.running_variance + c], n > 1 ? variance * n / (n - 1) : variance);
  });
}

void BatchNormForward::take_running_statistics(const Pass& pass) {
  BatchNormState& s = *state_;
  for (std::size_t c = 0; c < s.grid.channels; ++c) {
    s.mean[c] = pass.buffers[s.running_mean + c];
    s.inverse[c] =
        static_cast<float>(1 / std::sqrt(pass.buffers[s.running_variance + c] + s.kind.epsilon));
  }
}

BatchNormBackward::BatchNormBackward(std::shared_ptr<BatchNormState> state, Memories memories,
                                     Mask mask)
    : state_(std::move(state)),
      memories_(std::move(memories)),
      mask_(mask),
      slope_(state_->grid.padded_channels()),
      shift_(state_->grid.padded_channels()) {}

void BatchNormBackward::run(const Pass& pass) {
  BatchNormState& s = *state_;
  const ChannelGrid& g = s.grid;
  const float* const y = constant(memories_.y);
  float *const dz = variable(memories_.dz), *const dy = variable(memories_.dy);
  const GradientSource from{constant(memories_.first), constant(memories_.second),
                            constant(memories_.z), mask_};
  const auto source = [&](std::size_t at) {
    return GradientSource{after(from.first, at), after(from.second, at), after(from.output, at),
                          from.mask};
  };
  std::ranges::fill(s.first_sums, 0.0f);
  std::ranges::fill(s.second_sums, 0.0f);
  for_each_chunk(g, Order::descending,
                 [&](std::size_t lane, std::size_t sums, std::size_t at, Stretch stretch) {
                   batch_norm::add_gradient_sums(stretch, source(at), y + at, coefficients(s, lane),
                                                 after(dz, at), &s.first_sums[sums],
                                                 &s.second_sums[sums]);
                 });
  // dy = weight * inverse * (dz - mean(dz) - (y - mean) * inverse^2 * mean(dz * (y - mean)))
  const double n = static_cast<double>(g.images * g.rows());
  for_each_total(s, [&](std::size_t c, double sum, double products) {
    pass.g[s.bias + c] = static_cast<float>(sum);
    pass.g[s.weight + c] = static_cast<float>(products * s.inverse[c]);
    const double inverse = s.inverse[c];
    slope_[c] = static_cast<float>(-s.scale[c] * inverse * inverse * products / n);
    shift_[c] = static_cast<float>(-s.scale[c] * sum / n);
  });
  if (dy == nullptr) return;
  for_each_chunk(
      g, Order::ascending, [&](std::size_t lane, std::size_t, std::size_t at, Stretch stretch) {
        const GradientSource wanted = dz != nullptr ? GradientSource{.first = dz + at} : source(at);
        batch_norm::normalise_gradient(stretch, wanted, y + at, coefficients(s, lane),
                                       slope_.data() + lane, shift_.data() + lane, dy + at);
      });
}

}  // namespace paceline
