#include "paceline/compute/machine_limits.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <vector>

#include "paceline/compute/cpu/vectorise_internal.h"
#include "paceline/compute/host_memory_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace paceline {
namespace {

constexpr int kTries = 16;
constexpr double kEnoughSeconds = 1;
constexpr std::uint64_t kRounds = 1 << 21;

/// Chains that depend on nothing but themselves, enough to hide an FMA's latency: `floats` each.
/// Every function runs `rounds` multiply-adds in each of its chains.
struct MultiplyAdds {
  float (*run)(std::uint64_t rounds);
  std::size_t chains, floats;
};

// s = s/2 + 1/2 stays at 1: never denormal, never infinite, and no compiler folds it.
constexpr float kHalf = 0.5f;

#if defined(__x86_64__)
__attribute__((target("avx512f"))) float avx512_multiply_adds(std::uint64_t rounds) {
  __m512 s[16];
  const __m512 half = _mm512_set1_ps(kHalf);
  for (__m512& chain : s) chain = half;
  for (std::uint64_t r = 0; r < rounds; ++r)
    for (__m512& chain : s) chain = _mm512_fmadd_ps(chain, half, half);
  for (int k = 1; k < 16; ++k) s[0] = _mm512_add_ps(s[0], s[k]);
  return _mm512_cvtss_f32(s[0]);
}

__attribute__((target("avx2,fma"))) float avx2_multiply_adds(std::uint64_t rounds) {
  __m256 s[12];
  const __m256 half = _mm256_set1_ps(kHalf);
  for (__m256& chain : s) chain = half;
  for (std::uint64_t r = 0; r < rounds; ++r)
    for (__m256& chain : s) chain = _mm256_fmadd_ps(chain, half, half);
  for (int k = 1; k < 12; ++k) s[0] = _mm256_add_ps(s[0], s[k]);
  return _mm256_cvtss_f32(s[0]);
}
#endif

float portable_multiply_adds(std::uint64_t rounds) {
  std::array<float, 32> s;
  s.fill(kHalf);
  for (std::uint64_t r = 0; r < rounds; ++r)
    for (float& chain : s) chain = chain * kHalf + kHalf;
  for (std::size_t k = 1; k < s.size(); ++k) s[0] += s[k];
  return s[0];
}

MultiplyAdds widest_multiply_adds() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return {avx512_multiply_adds, 16, 16};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {avx2_multiply_adds, 12, 8};
#endif
  return {portable_multiply_adds, 32, 1};
}

PACELINE_TARGET_CLONES
void add_in_place(float* x, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) x[i] += 1.0f;
}

/// Of all cores; where the system does not tell, as of a large server.
std::size_t last_level_cache_bytes() {
  constexpr long kUnknown = 64L << 20;
  const long bytes = std::max(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
  return static_cast<std::size_t>(bytes > 0 ? bytes : kUnknown);
}

/// Seconds of the fastest try in which every thread runs f(thread number).
template <class F>
double fastest(unsigned threads, F f) {
  double best = 0, spent = 0;
  for (int k = 0; k < kTries && spent < kEnoughSeconds; ++k) {
    const auto start = std::chrono::steady_clock::now();
    {
      std::vector<std::jthread> others;
      for (unsigned thread = 1; thread < threads; ++thread) others.emplace_back(f, thread);
      f(0U);
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (k == 0 || elapsed.count() < best) best = elapsed.count();
    spent += elapsed.count();
  }
  return best;
}

/// May throw std::system_error.
MachineLimits measure(float* x, std::size_t count, unsigned threads) {
  const std::size_t share = count / threads;
  const double streamed =
      fastest(threads, [&](unsigned thread) { add_in_place(x + thread * share, share); });

  const MultiplyAdds multiply_adds = widest_multiply_adds();
  std::vector<float> sums(threads);  // used, so that no compiler leaves the work out
  const double computed =
      fastest(threads, [&](unsigned thread) { sums[thread] = multiply_adds.run(kRounds); });
  PACELINE_CHECK(std::ranges::all_of(sums, [](float sum) { return sum > 0; }), "no sum");

  const double flops = 2.0 * static_cast<double>(multiply_adds.chains * multiply_adds.floats) *
                       static_cast<double>(kRounds) * threads;
  return {
      .flops_per_second = flops / computed,
      .bytes_per_second = 2.0 * static_cast<double>(sizeof(float) * share * threads) / streamed};
}

}  // namespace

Result<MachineLimits> measure_machine_limits(unsigned threads) {
  const std::size_t bytes = std::max<std::size_t>(256 << 20, 4 * last_level_cache_bytes());
  PACELINE_TRY(const auto memory, allocate_host_memory(bytes));
  try {
    return measure(static_cast<float*>(memory->data()), bytes / sizeof(float), threads);
  } catch (const std::system_error& error) {
    return fail(error.code(), "cannot start {} threads: give fewer --threads", threads);
  }
}

}  // namespace paceline
