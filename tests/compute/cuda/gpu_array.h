// Numbers on the GPU as a test sees them: floats here, f32 or bf16 there. Tests that need a GPU
// derive from GpuTest, which skips where there is none.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>
#include <vector>

#include "paceline/compute/cuda/cuda_error_internal.h"
#include "paceline/compute/cuda/scalar_internal.h"
#include "paceline/compute/random.h"

namespace paceline::cuda::test {

/// To nearest even, as the GPU rounds; no NaN.
inline std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
/// What a Scalar can hold of it.
inline float rounded(float value, Scalar scalar) {
  return scalar == Scalar::bf16 ? from_bf16(to_bf16(value)) : value;
}

class GpuArray {
 public:
  GpuArray(std::span<const float> values, Scalar scalar) : GpuArray(values.size(), scalar) {
    std::vector<std::uint16_t> halves;
    for (const float value : values) halves.push_back(to_bf16(value));
    const void* const from =
        scalar == Scalar::bf16 ? static_cast<const void*>(halves.data()) : values.data();
    check(cudaMemcpy(memory_, from, values.size() * bytes_of(scalar), cudaMemcpyHostToDevice),
          "cudaMemcpy");
  }
  /// Full of NaN: what is read before it is written shows.
  GpuArray(std::size_t count, Scalar scalar) : count_(count), scalar_(scalar) {
    check(cudaMalloc(&memory_, std::max<std::size_t>(1, count * bytes_of(scalar))), "cudaMalloc");
    poison();
  }
  ~GpuArray() { cudaFree(memory_); }
  GpuArray(const GpuArray&) = delete;
  GpuArray& operator=(const GpuArray&) = delete;

  void poison() {
    check(cudaMemset(memory_, 0xff, count_ * bytes_of(scalar_)), "cudaMemset");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }
  /// Waits for all that runs.
  std::vector<float> values() const {
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    std::vector<float> values(count_);
    std::vector<std::uint16_t> halves(scalar_ == Scalar::bf16 ? count_ : 0);
    void* const to = scalar_ == Scalar::bf16 ? static_cast<void*>(halves.data()) : values.data();
    check(cudaMemcpy(to, memory_, count_ * bytes_of(scalar_), cudaMemcpyDeviceToHost),
          "cudaMemcpy");
    for (std::size_t i = 0; i < halves.size(); ++i) values[i] = from_bf16(halves[i]);
    return values;
  }
  void* get() const { return memory_; }

 private:
  void* memory_ = nullptr;
  std::size_t count_;
  Scalar scalar_;
};

/// Standard normal numbers, as a Scalar holds them.
inline std::vector<float> normal_numbers(Rng& rng, std::size_t count, Scalar scalar) {
  std::vector<float> values(count);
  for (float& value : values) value = rounded(static_cast<float>(rng.normal()), scalar);
  return values;
}

/// A sum of products in double precision, and what f32 or bf16 may make of it:
///   f32   n roundings of partial sums, each 2^-24 of at most the sum of magnitudes
///   tf32  also the factors lose what is behind 10 bits, 2^-10 each where that is cut off
///   bf16  the factors are exact, the result has 8 bits; tensor cores add with a few bits less than
///         f32 has (2^-22)
/// A bound for the worst case: what comes out is mostly far below, and a wrong factor far above.
struct Sum {
  double value = 0, magnitude = 0;
  std::size_t terms = 0;
  void add(double a, double b) {
    value += a * b;
    magnitude += std::abs(a * b);
    ++terms;
  }
  double tolerance(Scalar scalar, bool tf32) const {
    // Transformed algorithms (Winograd, FFT) add some roundings of their own.
    const double roundings = static_cast<double>(terms) + 64;
    if (scalar == Scalar::bf16)
      return 0x1p-8 * std::abs(value) + roundings * 0x1p-22 * magnitude + 1e-30;
    return (roundings * (tf32 ? 0x1p-22 : 0x1p-24) + (tf32 ? 2 * 0x1p-10 : 0)) * magnitude + 1e-30;
  }
};

/// Of all elements; tells the first that is wrong.
inline void expect_sums(const std::vector<float>& got, const std::vector<Sum>& expected,
                        Scalar scalar, bool tf32) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_LE(std::abs(got[i] - expected[i].value), expected[i].tolerance(scalar, tf32))
        << "element " << i << " of " << got.size() << ": " << got[i] << ", not "
        << expected[i].value;
}

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    int count = 0;
    if (const auto status = cudaGetDeviceCount(&count); status != cudaSuccess || count == 0)
      GTEST_SKIP() << "no GPU: " << cudaGetErrorString(status);
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  }
  void TearDown() override {
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
  cudaStream_t stream = nullptr;
};

}  // namespace paceline::cuda::test
