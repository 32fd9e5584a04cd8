#include "paceline/actors/simulation/compute_time.h"

#include <algorithm>

namespace paceline {
namespace {

constexpr std::int64_t kOne = 1 << 16;
constexpr std::int64_t kLog2E = 94548;  // log2(e) 2^16

/// 2^(2^-i) 2^32, i = 1 ... 16.
constexpr std::uint64_t kRoots[] = {6074000999ull, 5107605667ull, 4683695047ull, 4485121743ull,
                                    4389014833ull, 4341736423ull, 4318288543ull, 4306612133ull,
                                    4300785773ull, 4297875550ull, 4296421177ull, 4295694174ull,
                                    4295330720ull, 4295149004ull, 4295058149ull, 4295012722ull};

}  // namespace

std::int64_t normal_q16(Rng& rng) {
  std::int64_t sum = 0;
  for (int i = 0; i < 12; ++i) sum += static_cast<std::int64_t>(rng.next() >> 48);
  return sum - 6 * kOne;
}

std::int64_t exp2_q16(std::int64_t x) {
  const std::int64_t whole = x >> 16;
  std::uint64_t value = std::uint64_t{1} << 32;
  for (int i = 0; i < 16; ++i)
    if (x >> (15 - i) & 1)
      value = static_cast<std::uint64_t>(static_cast<unsigned __int128>(value) * kRoots[i] >> 32);
  value >>= 16;
  if (whole >= 40) return INT64_MAX;
  if (whole < 0) return whole < -40 ? 0 : static_cast<std::int64_t>(value >> -whole);
  return static_cast<std::int64_t>(value << whole);
}

std::chrono::nanoseconds ComputeTime::draw(std::chrono::nanoseconds step, std::uint32_t rank,
                                           Rng& rng) const {
  std::int64_t factor = kOne;
  const std::int64_t deviation = static_cast<std::int64_t>(deviation_percent);
  if (shape == TimeShape::normal)
    factor = std::max(kOne / 16, kOne + normal_q16(rng) * deviation / 100);
  if (shape == TimeShape::log_normal)
    factor = exp2_q16(normal_q16(rng) * deviation / 100 * kLog2E / kOne);
  auto time = static_cast<std::int64_t>(static_cast<__int128>(step.count()) * factor / kOne);
  if (!device_percent.empty()) time = time * device_percent[rank % device_percent.size()] / 100;
  if (straggles_per_million > 0 && rng.below(1'000'000) < straggles_per_million)
    time *= straggle_times;
  return std::chrono::nanoseconds(std::max<std::int64_t>(time, 1));
}

}  // namespace paceline
