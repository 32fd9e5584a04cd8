// Memory for tests that need a GPU, and their fixture, which skips where there is none.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "paceline/compute/vector_math.h"

namespace paceline::cuda::test {

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0)
      GTEST_SKIP() << "no GPU: " << cudaGetErrorString(status);
  }
};

/// What lies on the GPU, `offset` elements behind an aligned address.
template <class T>
class OnGpu {
 public:
  explicit OnGpu(const std::vector<T>& values, std::size_t offset = 0)
      : count_(values.size()), offset_(offset) {
    EXPECT_EQ(cudaMalloc(&memory_, (count_ + offset_ + 1) * sizeof(T)), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(data(), values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice),
              cudaSuccess);
  }
  ~OnGpu() { cudaFree(memory_); }
  OnGpu(const OnGpu&) = delete;
  OnGpu& operator=(const OnGpu&) = delete;

  T* data() const { return static_cast<T*>(memory_) + offset_; }
  Vector view() const { return {data(), count_}; }
  /// After everything that the calling thread has begun.
  std::vector<T> get() const {
    std::vector<T> values(count_);
    EXPECT_EQ(cudaStreamSynchronize(cudaStreamPerThread), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(values.data(), data(), count_ * sizeof(T), cudaMemcpyDeviceToHost),
              cudaSuccess);
    return values;
  }

 private:
  const std::size_t count_, offset_;
  void* memory_ = nullptr;
};

/// Host memory that the GPU reaches.
class Pinned {
 public:
  explicit Pinned(const std::vector<float>& values) : count_(values.size()) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMallocHost(&memory, (count_ + 1) * sizeof(float)), cudaSuccess);
    data_ = static_cast<float*>(memory);
    std::copy(values.begin(), values.end(), data_);
  }
  ~Pinned() { cudaFreeHost(data_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  Vector view() const { return {data_, count_}; }
  /// As it is now, without waiting for anything.
  std::vector<float> get() const { return {data_, data_ + count_}; }

 private:
  const std::size_t count_;
  float* data_ = nullptr;
};

}  // namespace paceline::cuda::test
