// Bias and ReLU, additions and conversions. What happens to an element is in
// pointwise_arithmetic_internal.h.
#include "paceline/compute/cuda/pointwise_internal.h"

#include "paceline/compute/cuda/column_sums_internal.h"
#include "paceline/compute/cuda/pointwise_arithmetic_internal.h"

namespace paceline::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads)
    bias_combine_kernel(const float* partials, unsigned channels, unsigned chunks, T* dbias) {
  const unsigned c = blockIdx.x * kChannelsPerBlock + threadIdx.x / 32;
  if (c >= channels) return;
  double sum = 0;
  for (unsigned chunk = threadIdx.x % 32; chunk < chunks; chunk += 32)
    sum += partials[std::size_t{c} * chunks + chunk];
  sum = warp_sum(sum);
  const float total[1] = {static_cast<float>(sum)};
  if (threadIdx.x % 32 == 0) store(dbias + c, total);
}

template <class From, class To>
void convert_as(cudaStream_t stream, const void* from, void* to, std::size_t count) {
  each_element(stream,
               ConvertElement<From, To>{static_cast<const From*>(from), static_cast<To*>(to)},
               count, aligned_for_packs(from, to), "convert");
}

}  // namespace

void bias_relu(cudaStream_t stream, Scalar scalar, std::size_t rows, std::size_t channels, void* y,
               const float* bias, bool relu) {
  if (bias == nullptr && !relu) return;
  with_scalar(scalar, [&](auto zero) {
    using T = decltype(zero);
    each_row(stream, BiasReluElement<T>{static_cast<T*>(y), bias, relu}, rows, channels,
             aligned_for_packs(y), "bias_relu");
  });
}

std::size_t bias_scratch_bytes(std::size_t rows, std::size_t channels) {
  if (rows == 0 || channels == 0) return 0;
  std::size_t bytes = column_grid(rows, channels, 1).partial_bytes(1);
  if (channels % kPack == 0)
    bytes = std::max(bytes, column_grid(rows, channels, kPack).partial_bytes(1));
  return bytes;
}

void bias_relu_backward(cudaStream_t stream, Scalar scalar, std::size_t rows, std::size_t channels,
                        const void* y, const void* dy, void* dz, void* dbias, bool relu,
                        void* scratch) {
  if (rows == 0 || channels == 0) return;
  const std::size_t bytes = rows * channels * bytes_of(scalar);
  if (dbias == nullptr) {
    if (relu && dz != nullptr)
      relu_backward(stream, scalar, rows * channels, y, dy, dz, false);
    else if (dz != nullptr && dz != dy)
      check(cudaMemcpyAsync(dz, dy, bytes, cudaMemcpyDeviceToDevice, stream), "bias_relu_backward");
    return;
  }
  with_scalar(scalar, [&](auto zero) {
    using T = decltype(zero);
    const bool packed = channels % kPack == 0 && aligned_for_packs(y, dy, dz);
    const ColumnGrid grid = column_grid(rows, channels, packed ? kPack : 1);
    T* const written = !relu && dz == dy ? nullptr : static_cast<T*>(dz);
    column_sums(
        stream,
        BiasBackwardColumn<T>{static_cast<const T*>(y), static_cast<const T*>(dy), written, relu},
        grid, static_cast<float*>(scratch), "bias_relu_backward");
    bias_combine_kernel<<<combine_blocks(channels), kThreads, 0, stream>>>(
        static_cast<const float*>(scratch), static_cast<unsigned>(channels), grid.chunks,
        static_cast<T*>(dbias));
    check_launch("bias_relu_backward");
  });
}

void relu(cudaStream_t stream, Scalar scalar, std::size_t count, const void* x, void* y) {
  with_scalar(scalar, [&](auto zero) {
    using T = decltype(zero);
    each_element(stream, ReluElement<T>{static_cast<const T*>(x), static_cast<T*>(y)}, count,
                 aligned_for_packs(x, y), "relu");
  });
}

void relu_backward(cudaStream_t stream, Scalar scalar, std::size_t count, const void* y,
                   const void* dy, void* dx, bool add) {
  with_scalar(scalar, [&](auto zero) {
    using T = decltype(zero);
    each_element(stream,
                 ReluBackwardElement<T>{static_cast<const T*>(y), static_cast<const T*>(dy),
                                        static_cast<T*>(dx), add},
                 count, aligned_for_packs(y, dy, dx), "relu_backward");
  });
}

void add(cudaStream_t stream, Scalar scalar, std::size_t count, const void* a, const void* b,
         void* y, bool relu) {
  with_scalar(scalar, [&](auto zero) {
    using T = decltype(zero);
    each_element(
        stream,
        AddElement<T>{static_cast<const T*>(a), static_cast<const T*>(b), static_cast<T*>(y), relu},
        count, aligned_for_packs(a, b, y), "add");
  });
}

void accumulate(cudaStream_t stream, Scalar scalar, std::size_t count, const void* x, void* y) {
  add(stream, scalar, count, y, x, y, false);
}

void convert(cudaStream_t stream, Scalar from_scalar, const void* from, Scalar to_scalar, void* to,
             std::size_t count) {
  if (from_scalar == to_scalar) {
    if (from != to && count != 0)
      check(
          cudaMemcpyAsync(to, from, count * bytes_of(to_scalar), cudaMemcpyDeviceToDevice, stream),
          "convert");
  } else if (from_scalar == Scalar::f32) {
    convert_as<float, Bf16>(stream, from, to, count);
  } else {
    convert_as<Bf16, float>(stream, from, to, count);
  }
}

void pad_channels(cudaStream_t stream, Scalar from_scalar, const void* from,
                  std::size_t from_channels, Scalar to_scalar, void* to, std::size_t to_channels,
                  std::size_t rows) {
  with_scalar(from_scalar, [&](auto from_zero) {
    with_scalar(to_scalar, [&](auto to_zero) {
      using From = decltype(from_zero);
      using To = decltype(to_zero);
      each_element(stream,
                   PadElement<From, To>{static_cast<const From*>(from), static_cast<To*>(to),
                                        from_channels, to_channels},
                   rows * to_channels, to_channels % kPack == 0 && aligned_for_packs(to),
                   "pad_channels");
    });
  });
}

}  // namespace paceline::cuda
