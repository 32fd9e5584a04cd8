// BatchNorm's launches: forward the statistics' chunks, their sum, the normalising pass; backward the
// sums' chunks, their sum, the gradient. x is read twice and y written once; backward reads x, dy (and
// y behind a ReLU) twice. The arithmetic is in batch_norm_arithmetic_internal.h.
#include "paceline/compute/cuda/batch_norm_internal.h"

#include "paceline/compute/cuda/batch_norm_arithmetic_internal.h"
#include "paceline/compute/cuda/column_sums_internal.h"

namespace paceline::cuda {
namespace {

/// Where the partial sums lie, and behind them the slopes.
struct Scratch {
  Scratch(void* memory, const ColumnGrid& grid)
      : partials(static_cast<float*>(memory)),
        slopes(reinterpret_cast<BatchNormSlopes*>(partials +
                                                  grid.partial_bytes(kPartials) / sizeof(float))) {}
  static constexpr std::size_t kPartials = 3;
  float* partials;
  BatchNormSlopes* slopes;
};
std::size_t scratch_bytes(const ColumnGrid& grid) {
  return grid.partial_bytes(Scratch::kPartials) + grid.channels * sizeof(BatchNormSlopes);
}

/// A warp a channel: the chunks of this lane, in order.
struct Lane {
  __device__ explicit Lane(const ColumnGrid& grid)
      : channel(blockIdx.x * kChannelsPerBlock + threadIdx.x / 32), first(threadIdx.x % 32) {
    active = channel < grid.channels;
  }
  unsigned channel, first;
  bool active;
};
__device__ double chunk_rows(const ColumnGrid& grid, unsigned chunk) {
  const std::size_t begin = std::size_t{chunk} * grid.chunk_rows;
  return static_cast<double>(min(grid.chunk_rows, grid.rows - begin));
}

struct StatisticsTargets {
  float *mean, *inverse_deviation, *running_mean, *running_variance;
  double epsilon, momentum;
  const float* device_momentum;
};

__global__ void __launch_bounds__(kThreads)
    statistics_combine_kernel(const float* partials, const ColumnGrid grid,
                              const StatisticsTargets to) {
  const Lane lane(grid);
  if (!lane.active) return;
  const std::size_t plane = grid.channels * grid.chunks;
  const float* const mine = partials + std::size_t{lane.channel} * grid.chunks;
  ShiftedSums sums = {static_cast<double>(mine[2 * plane]), 0, 0};
  for (unsigned chunk = lane.first; chunk < grid.chunks; chunk += 32)
    add_chunk(sums, chunk_rows(grid, chunk), mine[2 * plane + chunk], mine[chunk],
              mine[plane + chunk]);
  sums.sum = warp_sum(sums.sum);
  sums.squares = warp_sum(sums.squares);
  if (lane.first != 0) return;
  const unsigned c = lane.channel;
  const double rows = static_cast<double>(grid.rows);
  const MeanVariance of = moments_of(sums, rows);
  to.mean[c] = static_cast<float>(of.mean);
  to.inverse_deviation[c] = inverse_deviation_of(of.variance, to.epsilon);
  const double share =
      to.device_momentum != nullptr ? static_cast<double>(*to.device_momentum) : to.momentum;
  if (to.running_mean != nullptr) to.running_mean[c] = moved(to.running_mean[c], share, of.mean);
  if (to.running_variance != nullptr)
    to.running_variance[c] = moved(to.running_variance[c], share, unbiased(of.variance, rows));
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    backward_combine_kernel(const float* partials, const ColumnGrid grid,
                            const float* inverse_deviation, BatchNormSlopes* slopes, T* dweight,
                            T* dbias) {
  const Lane lane(grid);
  if (!lane.active) return;
  const std::size_t plane = grid.channels * grid.chunks;
  const float* const mine = partials + std::size_t{lane.channel} * grid.chunks;
  double sum = 0, projection = 0;
  for (unsigned chunk = lane.first; chunk < grid.chunks; chunk += 32) {
    sum += static_cast<double>(mine[chunk]);
    projection += static_cast<double>(mine[plane + chunk]);
  }
  sum = warp_sum(sum);
  projection = warp_sum(projection);
  if (lane.first != 0) return;
  const unsigned c = lane.channel;
  const float inverse = inverse_deviation[c];
  slopes[c] = slopes_of(sum, projection, inverse, static_cast<double>(grid.rows));
  if (dweight != nullptr)
    store_one(dweight + c, static_cast<float>(projection * static_cast<double>(inverse)));
  if (dbias != nullptr) store_one(dbias + c, static_cast<float>(sum));
}

template <class T>
BatchNormElement<T> normalise(const BatchNormForward& args) {
  return {.x = static_cast<const T*>(args.x),
          .other = static_cast<const T*>(args.other),
          .y = static_cast<T*>(args.y),
          .weight = args.weight,
          .bias = args.bias,
          .mean = args.mean,
          .inverse_deviation = args.inverse_deviation,
          .variance = nullptr,
          .epsilon = args.epsilon,
          .relu = args.relu};
}

}  // namespace

std::size_t batch_norm_scratch_bytes(const BatchNormShape& shape) {
  if (shape.rows == 0 || shape.channels == 0) return 0;
  std::size_t bytes = scratch_bytes(column_grid(shape.rows, shape.channels, 1));
  if (shape.channels % kPack == 0)
    bytes = std::max(bytes, scratch_bytes(column_grid(shape.rows, shape.channels, kPack)));
  return bytes;
}

void batch_norm_train(cudaStream_t stream, const BatchNormShape& shape,
                      const BatchNormForward& args, void* scratch) {
  if (shape.rows == 0 || shape.channels == 0) return;
  const bool packed = shape.channels % kPack == 0 && aligned_for_packs(args.x, args.other, args.y);
  const ColumnGrid grid = column_grid(shape.rows, shape.channels, packed ? kPack : 1);
  const Scratch parts(scratch, grid);
  with_scalar(shape.scalar, [&](auto zero) {
    using T = decltype(zero);
    column_sums(stream, BatchNormStatisticsColumn<T>{static_cast<const T*>(args.x), shape.channels},
                grid, parts.partials, "batch_norm_train");
    const StatisticsTargets to = {.mean = args.mean,
                                  .inverse_deviation = args.inverse_deviation,
                                  .running_mean = args.running_mean,
                                  .running_variance = args.running_variance,
                                  .epsilon = args.epsilon,
                                  .momentum = args.momentum,
                                  .device_momentum = args.device_momentum};
    statistics_combine_kernel<<<combine_blocks(shape.channels), kThreads, 0, stream>>>(
        parts.partials, grid, to);
    check_launch("batch_norm_train");
    each_row(stream, normalise<T>(args), shape.rows, shape.channels, packed, "batch_norm_train");
  });
}

void batch_norm_evaluate(cudaStream_t stream, const BatchNormShape& shape,
                         const BatchNormForward& args) {
  with_scalar(shape.scalar, [&](auto zero) {
    using T = decltype(zero);
    BatchNormElement<T> element = normalise<T>(args);
    element.mean = args.running_mean;
    element.inverse_deviation = nullptr;
    element.variance = args.running_variance;
    each_row(stream, element, shape.rows, shape.channels,
             aligned_for_packs(args.x, args.other, args.y), "batch_norm_evaluate");
  });
}

void batch_norm_backward(cudaStream_t stream, const BatchNormShape& shape,
                         const BatchNormBackward& args, void* scratch) {
  if (shape.rows == 0 || shape.channels == 0) return;
  const bool packed = shape.channels % kPack == 0 &&
                      aligned_for_packs(args.x, args.y, args.dy, args.dx, args.dother);
  const ColumnGrid grid = column_grid(shape.rows, shape.channels, packed ? kPack : 1);
  const Scratch parts(scratch, grid);
  with_scalar(shape.scalar, [&](auto zero) {
    using T = decltype(zero);
    const T* const x = static_cast<const T*>(args.x);
    const T* const y = static_cast<const T*>(args.y);
    const T* const dy = static_cast<const T*>(args.dy);
    column_sums(
        stream,
        BatchNormBackwardColumn<T>{.x = x, .y = y, .dy = dy, .mean = args.mean, .relu = args.relu},
        grid, parts.partials, "batch_norm_backward");
    backward_combine_kernel<<<combine_blocks(shape.channels), kThreads, 0, stream>>>(
        parts.partials, grid, args.inverse_deviation, parts.slopes, static_cast<T*>(args.dweight),
        static_cast<T*>(args.dbias));
    check_launch("batch_norm_backward");
    if (args.dx == nullptr && args.dother == nullptr) return;
    each_row(stream,
             BatchNormBackwardElement<T>{.x = x,
                                         .y = y,
                                         .dy = dy,
                                         .dx = static_cast<T*>(args.dx),
                                         .dother = static_cast<T*>(args.dother),
                                         .add_to_dother = args.add_to_dother,
                                         .weight = args.weight,
                                         .mean = args.mean,
                                         .inverse_deviation = args.inverse_deviation,
                                         .slopes = parts.slopes,
                                         .relu = args.relu},
             shape.rows, shape.channels, packed, "batch_norm_backward");
  });
}

}  // namespace paceline::cuda
