// How kernels that touch each element once are launched: over packs of elements, the rest one by one;
// or over rows of channels, where a thread keeps to its channels and so loads what belongs to them
// once. For nvcc alone.
//   F::at<V>(i)            works on elements [i, i + V)
//   F::channels<V>(c)      what at() needs to know of channels [c, c + V), an F::Channels<V>
//   F::at<V>(i, channels)  the same of elements that are of these channels
#pragma once

#include <algorithm>
#include <cstddef>

#include "paceline/compute/cuda/cuda_error_internal.h"
#include "paceline/compute/cuda/packs_internal.h"
#include "paceline/compute/cuda/scalar_internal.h"

namespace paceline::cuda {

constexpr unsigned kThreads = 256;
/// Two rounds of eight blocks on each of 132 multiprocessors; beyond, threads take several turns.
constexpr std::size_t kMostBlocks = 2112;

inline unsigned blocks_for(std::size_t items) {
  return static_cast<unsigned>(
      std::clamp<std::size_t>((items + kThreads - 1) / kThreads, 1, kMostBlocks));
}

/// Calls f with a value of the type that `scalar` stands for.
template <class F>
void with_scalar(Scalar scalar, F f) {
  if (scalar == Scalar::f32)
    f(float{});
  else
    f(Bf16{});
}

template <int V, class F>
__global__ void __launch_bounds__(kThreads)
    each_element_kernel(const __grid_constant__ F f, std::size_t packs, std::size_t count) {
  const std::size_t stride = std::size_t{gridDim.x} * kThreads;
  const std::size_t first = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::size_t p = first; p < packs; p += stride) f.template at<V>(p * V);
  for (std::size_t i = packs * V + first; i < count; i += stride) f.template at<1>(i);
}
/// @param packed  whether f may take V elements at once
template <int V = kPack, class F>
void each_element(cudaStream_t stream, const F& f, std::size_t count, bool packed,
                  const char* name) {
  if (count == 0) return;
  const std::size_t packs = packed ? count / V : 0, items = packed ? packs + count % V : count;
  each_element_kernel<V, F><<<blocks_for(items), kThreads, 0, stream>>>(f, packs, count);
  check_launch(name);
}

template <int V, class F>
__global__ void __launch_bounds__(kThreads)
    each_row_kernel(const __grid_constant__ F f, std::size_t packs, unsigned per_row,
                    unsigned stride) {
  const unsigned first = blockIdx.x * kThreads + threadIdx.x;
  if (first >= stride) return;
  const auto channels = f.template channels<V>(first % per_row * V);
  for (std::size_t p = first; p < packs; p += stride) f.template at<V>(p * V, channels);
}
/// @param packed  whether f may take packs where the channels divide into them
template <class F>
void each_row(cudaStream_t stream, const F& f, std::size_t rows, std::size_t channels, bool packed,
              const char* name) {
  if (rows == 0 || channels == 0) return;
  const auto launch = [&](auto kernel, std::size_t pack) {
    const std::size_t per_row = channels / pack, packs = rows * per_row;
    const std::size_t row_blocks = (per_row + kThreads - 1) / kThreads;
    const std::size_t blocks = std::max<std::size_t>(blocks_for(packs), row_blocks);
    const std::size_t stride = blocks * kThreads / per_row * per_row;
    kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
        f, packs, static_cast<unsigned>(per_row), static_cast<unsigned>(stride));
    check_launch(name);
  };
  if (packed && channels % kPack == 0)
    launch(each_row_kernel<kPack, F>, kPack);
  else
    launch(each_row_kernel<1, F>, 1);
}

}  // namespace paceline::cuda
