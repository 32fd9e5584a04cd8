// How long a worker's steps take, and how long others wait for it. Threading: none of its own.
//   ST-1 One outlier, a worker that was stopped for a while, changes neither median nor spread much.
//   ST-2 A wait is at least 2 s; at most 5 min, or three times what the steps themselves should take.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace paceline {

/// Median and spread (median absolute deviation) of the seconds that a worker's last steps took.
struct StepSummary {
  double median = 0, spread = 0;
  /// What a step may well take.
  double generous() const { return median + 6 * spread; }
};

class StepTimes {
 public:
  static constexpr std::size_t kWindow = 64;  ///< steps
  static constexpr std::size_t kEnough = 4;   ///< steps that say something

  void add(double seconds) { seconds_[added_++ % kWindow] = seconds; }
  std::size_t added() const { return added_; }
  /// @pre added() > 0
  StepSummary summary() const {
    const std::size_t n = std::min(added_, kWindow);
    std::array<double, kWindow> sorted = seconds_;
    const double middle = median(sorted, n);
    for (std::size_t i = 0; i < n; ++i)
      sorted[i] = sorted[i] < middle ? middle - sorted[i] : sorted[i] - middle;
    return {middle, median(sorted, n)};
  }

 private:
  static double median(std::array<double, kWindow>& values, std::size_t n) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(n / 2);
    std::nth_element(values.begin(), middle, values.begin() + static_cast<std::ptrdiff_t>(n));
    return *middle;
  }
  std::array<double, kWindow> seconds_{};
  std::size_t added_ = 0;
};

/// How long to wait for what others do within `steps` steps of theirs, before anyone has taken
/// enough of them to tell; in seconds.
inline constexpr double kFirstPatience = 30;
/// The same, afterwards. @param slowest  of the worker whose steps take longest
inline double adapted_patience(const StepSummary& slowest, std::uint64_t steps) {
  constexpr double kSlack = 20, kLeast = 2, kMost = 300, kSure = 3;
  const auto n = static_cast<double>(std::max<std::uint64_t>(steps, 1));
  const double most = std::max(kMost, kSure * n * slowest.median);
  return std::clamp(kSlack * n * slowest.generous(), kLeast, most);
}

}  // namespace paceline
