// A worker's score: the mean training loss over its last batches.
//   SW-1 Infinite until the window is full, so that a newcomer cannot lead on a few lucky batches.
//   SW-2 Not finite while any loss in the window is not; flushed after as many good ones.
//   SW-3 All that it knows lies in its numbers: how many losses it was given, then the last of them.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "paceline/result.h"

namespace paceline {

class ScoreWindow {
 public:
  /// How many numbers a window needs. @param batches  at least 1
  static std::size_t numbers(std::size_t batches) { return 1 + batches; }

  /// @param numbers  zeros, or those of a window that this one goes on from; outlive it
  explicit ScoreWindow(std::span<double> numbers)
      : given_(numbers[0]), losses_(numbers.subspan(1)) {
    PACELINE_CHECK(!losses_.empty(), "an empty score window");
  }
  void add(double loss) {
    losses_[static_cast<std::size_t>(std::fmod(given_, size()))] = loss;
    ++given_;  // exact up to 2^53
  }
  /// As if nothing had been added yet.
  void clear() { given_ = 0; }
  double score() const {
    if (given_ < size()) return std::numeric_limits<double>::infinity();
    double sum = 0;  // afresh each time: a running sum would never lose a NaN
    for (const double loss : losses_) sum += loss;
    return sum / size();
  }

 private:
  double size() const { return static_cast<double>(losses_.size()); }
  double& given_;
  const std::span<double> losses_;
};

}  // namespace paceline
