// Maxima and averages. What happens for an element is in pooling_arithmetic_internal.h; a mean over
// whole images has a kernel of its own, in which a block shares an image's pixels out.
#include "paceline/compute/cuda/pooling_internal.h"

#include "paceline/compute/cuda/each_element_internal.h"
#include "paceline/compute/cuda/pooling_arithmetic_internal.h"

namespace paceline::cuda {
namespace {

std::size_t in_count(const PoolShape& shape) {
  return shape.images * shape.in_height * shape.in_width * shape.channels;
}
std::size_t out_count(const PoolShape& shape) {
  return shape.images * shape.out_height * shape.out_width * shape.channels;
}

constexpr unsigned kMeanThreads = 128, kMeanPacks = 8;  // threads of a block; packs side by side

/// Of one image's pixels, kMeanPacks packs of channels a block.
template <int V, class T>
__global__ void __launch_bounds__(kMeanThreads)
    global_mean_kernel(const T* x, T* y, unsigned pixels, unsigned channels) {
  __shared__ float shared[V][kMeanThreads];
  const unsigned thread = threadIdx.x;
  const unsigned c = (blockIdx.y * kMeanPacks + thread % kMeanPacks) * V;
  float sum[V] = {};
  if (c < channels) {
    const T* const image = x + std::size_t{blockIdx.x} * pixels * channels + c;
#pragma unroll 4
    for (unsigned p = thread / kMeanPacks; p < pixels; p += kMeanThreads / kMeanPacks) {
      float v[V];
      load(image + std::size_t{p} * channels, v);
      for (int j = 0; j < V; ++j) sum[j] += v[j];
    }
  }
  for (int j = 0; j < V; ++j) shared[j][thread] = sum[j];
  for (unsigned half = kMeanThreads / 2; half >= kMeanPacks; half /= 2) {
    __syncthreads();
    if (thread < half)
      for (int j = 0; j < V; ++j) shared[j][thread] += shared[j][thread + half];
  }
  if (thread < kMeanPacks && c < channels) {
    for (int j = 0; j < V; ++j) sum[j] = shared[j][thread] / static_cast<float>(pixels);
    store(y + std::size_t{blockIdx.x} * channels + c, sum);
  }
}

template <int V, class T>
void global_mean(cudaStream_t stream, const PoolShape& shape, const void* x, void* y) {
  const std::size_t packs = shape.channels / V;
  const dim3 blocks(static_cast<unsigned>(shape.images),
                    static_cast<unsigned>((packs + kMeanPacks - 1) / kMeanPacks));
  global_mean_kernel<V, T>
      <<<blocks, kMeanThreads, 0, stream>>>(static_cast<const T*>(x), static_cast<T*>(y),
                                            static_cast<unsigned>(shape.in_height * shape.in_width),
                                            static_cast<unsigned>(shape.channels));
  check_launch("average_pool");
}

bool covers_image(const PoolShape& shape) {
  return shape.out_height == 1 && shape.out_width == 1 && shape.kernel_height == shape.in_height &&
         shape.kernel_width == shape.in_width;
}

}  // namespace

void max_pool(cudaStream_t stream, const PoolShape& shape, const void* x, void* y,
              std::uint8_t* winners) {
  check(shape.kernel_height * shape.kernel_width < 256 ? cudaSuccess : cudaErrorInvalidValue,
        "max_pool with a window of more pixels than a byte counts");
  with_scalar(shape.scalar, [&](auto zero) {
    using T = decltype(zero);
    each_element(stream,
                 MaxPoolElement<T>{static_cast<const T*>(x), static_cast<T*>(y), winners,
                                   PoolExtents(shape)},
                 out_count(shape), shape.channels % kPack == 0 && aligned_for_packs(x, y, winners),
                 "max_pool");
  });
}

void max_pool_backward(cudaStream_t stream, const PoolShape& shape, const void* dy,
                       const std::uint8_t* winners, void* dx, bool add) {
  with_scalar(shape.scalar, [&](auto zero) {
    using T = decltype(zero);
    each_element(stream,
                 MaxPoolBackwardElement<T>{static_cast<const T*>(dy), winners, static_cast<T*>(dx),
                                           add, PoolExtents(shape)},
                 in_count(shape), shape.channels % kPack == 0 && aligned_for_packs(dy, winners, dx),
                 "max_pool_backward");
  });
}

void average_pool(cudaStream_t stream, const PoolShape& shape, const void* x, void* y) {
  if (out_count(shape) == 0) return;
  const bool packed = shape.channels % kPack == 0 && aligned_for_packs(x, y);
  with_scalar(shape.scalar, [&](auto zero) {
    using T = decltype(zero);
    if (!covers_image(shape))
      each_element(
          stream,
          AveragePoolElement<T>{static_cast<const T*>(x), static_cast<T*>(y), PoolExtents(shape)},
          out_count(shape), packed, "average_pool");
    else if (packed)
      global_mean<kPack, T>(stream, shape, x, y);
    else
      global_mean<1, T>(stream, shape, x, y);
  });
}

void average_pool_backward(cudaStream_t stream, const PoolShape& shape, const void* dy, void* dx,
                           bool add) {
  with_scalar(shape.scalar, [&](auto zero) {
    using T = decltype(zero);
    each_element(stream,
                 AveragePoolBackwardElement<T>{static_cast<const T*>(dy), static_cast<T*>(dx), add,
                                               PoolExtents(shape)},
                 in_count(shape), shape.channels % kPack == 0 && aligned_for_packs(dy, dx),
                 "average_pool_backward");
  });
}

}  // namespace paceline::cuda
