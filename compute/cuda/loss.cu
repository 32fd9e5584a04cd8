// Softmax cross entropy, a warp an image. Sums over classes are in double, in an order that is fixed:
// each lane takes every 32nd class, lanes are added as a tree.
#include "paceline/compute/cuda/loss_internal.h"

#include "paceline/compute/cuda/each_element_internal.h"

namespace paceline::cuda {
namespace {

constexpr unsigned kLanes = 32, kImagesPerBlock = kThreads / kLanes, kAllLanes = 0xffffffffu;

/// The same bits in all lanes: a + b is b + a.
__device__ double sum_of_lanes(double value) {
#pragma unroll
  for (unsigned offset = kLanes / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

/// A row's largest logit, the first of equals. Nothing is larger than a NaN in the first place.
struct Largest {
  float logit;
  unsigned place;
};
__device__ Largest largest_of_lanes(Largest mine) {
#pragma unroll
  for (unsigned offset = kLanes / 2; offset > 0; offset /= 2) {
    const Largest other = {__shfl_xor_sync(kAllLanes, mine.logit, offset),
                           __shfl_xor_sync(kAllLanes, mine.place, offset)};
    if (other.logit > mine.logit || (other.logit == mine.logit && other.place < mine.place))
      mine = other;
  }
  return mine;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    loss_kernel(const T* logits, const std::int32_t* labels, unsigned images, unsigned classes,
                double smoothing, float* f32_logits, T* dlogits, double* losses, unsigned* wrong) {
  const unsigned image = blockIdx.x * kImagesPerBlock + threadIdx.x / kLanes;
  const unsigned lane = threadIdx.x % kLanes;
  if (image >= images) return;
  const std::size_t first = std::size_t{image} * classes;
  const T* const row = logits + first;
  const unsigned label = static_cast<unsigned>(labels[image]);

  Largest largest = {to_float(row[0]), 0};
  for (unsigned c = lane; c < classes; c += kLanes) {
    const float logit = to_float(row[c]);
    if (f32_logits != nullptr) f32_logits[first + c] = logit;
    if (logit > largest.logit) largest = {logit, c};
  }
  largest = largest_of_lanes(largest);

  double total = 0;
  for (unsigned c = lane; c < classes; c += kLanes)
    total += static_cast<double>(expf(to_float(row[c]) - largest.logit));
  const double log_total = log(sum_of_lanes(total));
  const auto log_softmax = [&](unsigned c) {
    return static_cast<double>(to_float(row[c]) - largest.logit) - log_total;
  };

  double loss = -(1 - smoothing) * log_softmax(label);
  if (smoothing != 0) {  // else what is not the label's could be -inf, times 0
    double all = 0;
    for (unsigned c = lane; c < classes; c += kLanes) all += log_softmax(c);
    loss -= smoothing / classes * sum_of_lanes(all);
  }
  if (lane == 0) {
    losses[image] = loss;
    wrong[image] = largest.place != label;
  }
  if (dlogits == nullptr) return;
  for (unsigned c = lane; c < classes; c += kLanes) {
    const double target = (c == label ? 1 - smoothing : 0) + smoothing / classes;
    const double softmax = static_cast<double>(expf(static_cast<float>(log_softmax(c))));
    store_one(dlogits + first + c, static_cast<float>((softmax - target) / images));
  }
}

__global__ void __launch_bounds__(kThreads)
    loss_sums_kernel(const double* losses, const unsigned* wrong, unsigned images, LossSums* sums) {
  __shared__ double loss[kThreads];
  __shared__ unsigned errors[kThreads];
  const unsigned thread = threadIdx.x;
  double my_loss = 0;
  unsigned my_errors = 0;
  for (unsigned image = thread; image < images; image += kThreads) {
    my_loss += losses[image];
    my_errors += wrong[image];
  }
  loss[thread] = my_loss;
  errors[thread] = my_errors;
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) {
      loss[thread] += loss[thread + half];
      errors[thread] += errors[thread + half];
    }
  }
  if (thread == 0) {
    sums->loss = loss[0];
    sums->errors = errors[0];
  }
}

}  // namespace

std::size_t loss_scratch_bytes(const LossShape& shape) {
  return shape.images * (sizeof(double) + sizeof(unsigned));
}

void softmax_cross_entropy(cudaStream_t stream, const LossShape& shape, const void* logits,
                           const std::int32_t* labels, double label_smoothing, float* f32_logits,
                           void* dlogits, LossSums* sums, void* scratch) {
  double* const losses = static_cast<double*>(scratch);
  unsigned* const wrong = reinterpret_cast<unsigned*>(losses + shape.images);
  const unsigned images = static_cast<unsigned>(shape.images);
  if (images != 0) {
    const unsigned blocks = (images + kImagesPerBlock - 1) / kImagesPerBlock;
    with_scalar(shape.scalar, [&](auto zero) {
      using T = decltype(zero);
      loss_kernel<T><<<blocks, kThreads, 0, stream>>>(
          static_cast<const T*>(logits), labels, images, static_cast<unsigned>(shape.classes),
          label_smoothing, f32_logits, static_cast<T*>(dlogits), losses, wrong);
      check_launch("softmax_cross_entropy");
    });
  }
  loss_sums_kernel<<<1, kThreads, 0, stream>>>(losses, wrong, images, sums);
  check_launch("softmax_cross_entropy");
}

}  // namespace paceline::cuda
