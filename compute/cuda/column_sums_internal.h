// Sums over the rows of [rows, channels], in an order that the shape alone decides. Blocks take a
// chunk of rows and a tile of channels each and leave f32 sums of it (threads side by side read
// channels that lie together, and as many rows as are left over); a warp a channel then adds the
// chunks in double. For nvcc alone.
//   F::kSums                  sums a channel
//   F::channels<V>(c, row)    what at() needs to know of channels [c, c + V) in a chunk that begins at `row`
//   F::at<V>(i, channels, sums)  adds elements [i, i + V) to sums[kSums][V]
//   F::kShifted               the sums are of differences to F::shift(row, c), noted beside them
#pragma once

#include "paceline/compute/cuda/column_grid_internal.h"
#include "paceline/compute/cuda/each_element_internal.h"

namespace paceline::cuda {

/// @param partials  [kSums (+ 1 if shifted)][channels][chunks]
template <int V, class F>
__global__ void __launch_bounds__(kThreads)
    column_sums_kernel(const __grid_constant__ F f, const ColumnGrid grid, float* partials) {
  __shared__ float shared[F::kSums * V][kThreads];
  const unsigned thread = threadIdx.x, column = blockIdx.y * grid.tile + thread % grid.tile;
  const unsigned lane = thread / grid.tile, chunk = blockIdx.x;
  const std::size_t first = std::size_t{chunk} * grid.chunk_rows;
  const std::size_t last = min(first + grid.chunk_rows, grid.rows);
  float sums[F::kSums][V] = {};
  if (column < grid.per_row) {
    const auto channels = f.template channels<V>(std::size_t{column} * V, first);
#pragma unroll 4
    for (std::size_t row = first + lane; row < last; row += grid.lanes)
      f.template at<V>(row * grid.channels + column * V, channels, sums);
  }
#pragma unroll
  for (int k = 0; k < F::kSums; ++k)
#pragma unroll
    for (int j = 0; j < V; ++j) shared[k * V + j][thread] = sums[k][j];
  for (unsigned half = kThreads / 2; half >= grid.tile; half /= 2) {
    __syncthreads();
    if (thread < half)
#pragma unroll
      for (int s = 0; s < F::kSums * V; ++s) shared[s][thread] += shared[s][thread + half];
  }
  __syncthreads();
  // Of the tile's first threads, channel by channel.
  for (unsigned e = thread; e < F::kSums * V * grid.tile; e += kThreads) {
    const unsigned k = e / (V * grid.tile), in_tile = e % (V * grid.tile);
    const unsigned c = blockIdx.y * grid.tile * V + in_tile;
    if (c >= grid.channels) continue;
    partials[(std::size_t{k} * grid.channels + c) * grid.chunks + chunk] =
        shared[k * V + in_tile % V][in_tile / V];
    if constexpr (F::kShifted)
      if (k == 0)
        partials[(std::size_t{F::kSums} * grid.channels + c) * grid.chunks + chunk] =
            f.shift(first, c);
  }
}

template <class F>
void column_sums(cudaStream_t stream, const F& f, const ColumnGrid& grid, float* partials,
                 const char* name) {
  const dim3 blocks(grid.chunks, grid.tiles);
  if (grid.pack == kPack)
    column_sums_kernel<kPack, F><<<blocks, kThreads, 0, stream>>>(f, grid, partials);
  else
    column_sums_kernel<1, F><<<blocks, kThreads, 0, stream>>>(f, grid, partials);
  check_launch(name);
}

/// A warp's sum in a fixed order, in its first lane.
__device__ inline double warp_sum(double value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_down_sync(0xffffffffu, value, offset);
  return value;
}

constexpr unsigned kChannelsPerBlock = kThreads / 32;
inline unsigned combine_blocks(std::size_t channels) {
  return static_cast<unsigned>((channels + kChannelsPerBlock - 1) / kChannelsPerBlock);
}

}  // namespace paceline::cuda
