#include "paceline/compute/cuda/twins_internal.h"

#include <algorithm>
#include <cstdint>

#include "paceline/compute/cuda/bf16_arithmetic_internal.h"
#include "paceline/compute/cuda/cuda_error_internal.h"
#include "paceline/compute/cuda/pointwise_internal.h"
#include "paceline/result.h"

namespace paceline::cuda {

Twins::~Twins() {
  for (const auto& [vector, twin] : twins_) cudaFree(twin->bf16);
}

Twin& Twins::of(float* vector, std::size_t count) {
  const std::lock_guard lock(mutex_);
  if (const auto found = twins_.find(vector); found != twins_.end()) {
    const Twin& twin = *found->second;
    // Captured graphs hold its address, so it cannot grow.
    PACELINE_CHECK(twin.count >= count, "a twin of {} elements where {} are wanted", twin.count,
                   count);
    return *found->second;
  }
  auto made = std::make_unique<Twin>(Twin{.f32 = vector, .count = count});
  const std::size_t bytes = (count == 0 ? 1 : count) * sizeof(Bf16);
  check(cudaMalloc(&made->bf16, bytes), "cudaMalloc of a vector's 16-bit twin");
  check(cudaMemsetAsync(made->bf16, 0, bytes, cudaStreamPerThread), "cudaMemset of a 16-bit twin");
  return *(twins_[vector] = std::move(made));
}

Twin* Twins::find(const void* vector) {
  const std::lock_guard lock(mutex_);
  const auto found = twins_.find(vector);
  return found == twins_.end() ? nullptr : found->second.get();
}

void Twins::forget(const void* vector) {
  const std::lock_guard lock(mutex_);
  const auto found = twins_.find(vector);
  if (found == twins_.end()) return;
  cudaFree(found->second->bf16);
  twins_.erase(found);
}

void Twins::refresh_f32(cudaStream_t stream, const void* vector) {
  Twin* const twin = find(vector);
  if (twin == nullptr || twin->f32_fresh) return;
  convert(stream, Scalar::bf16, twin->bf16, Scalar::f32, twin->f32, twin->count);
  twin->f32_fresh = true;
}

void Twins::refresh_bf16(cudaStream_t stream, Twin& twin) {
  if (twin.bf16_fresh) return;
  convert(stream, Scalar::f32, twin.f32, Scalar::bf16, twin.bf16, twin.count);
  twin.bf16_fresh = true;
}

void Twins::written(const void* vector) {
  const std::lock_guard lock(mutex_);
  const auto address = reinterpret_cast<std::uintptr_t>(vector);
  for (const auto& [begin, twin] : twins_) {
    const std::uintptr_t at = address - reinterpret_cast<std::uintptr_t>(begin);
    if (at >= std::max<std::size_t>(1, twin->count * sizeof(float))) continue;
    twin->f32_fresh = true;
    twin->bf16_fresh = false;
  }
}

}  // namespace paceline::cuda
