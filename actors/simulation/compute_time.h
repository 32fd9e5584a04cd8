// How long a simulated gradient takes, in whole nanoseconds and by samplers of our own: the same
// bits everywhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "paceline/compute/random.h"

namespace paceline {

enum class TimeShape : std::uint8_t {
  constant,
  normal,      ///< mean 1, cut off at 1/16
  log_normal,  ///< median 1
};

struct ComputeTime {
  TimeShape shape = TimeShape::constant;
  std::uint32_t deviation_percent = 20;     ///< of the normal, or of the logarithm
  std::uint32_t straggles_per_million = 0;  ///< steps that take `straggle_times` as long
  std::uint32_t straggle_times = 10;
  std::vector<std::uint32_t> device_percent{};  ///< by rank, in turn: 200 takes twice as long

  bool varies() const {
    return shape != TimeShape::constant || straggles_per_million > 0 || !device_percent.empty();
  }
  /// One gradient of worker `rank` that takes `step` by itself.
  std::chrono::nanoseconds draw(std::chrono::nanoseconds step, std::uint32_t rank, Rng& rng) const;
};

/// A standard normal times 2^16: twelve uniform numbers' sum (Irwin and Hall).
std::int64_t normal_q16(Rng& rng);
/// 2^(x / 2^16) times 2^16, for |x| < 2^20; saturates.
std::int64_t exp2_q16(std::int64_t x);

}  // namespace paceline
