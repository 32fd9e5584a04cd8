// A worker's score: the mean training loss over its last batches.
//   SW-1 Infinite until the window is full, so that a newcomer cannot lead on a few lucky batches.
//   SW-2 Not finite while any loss in the window is not; flushed after as many good ones.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "paceline/result.h"

namespace paceline {

class ScoreWindow {
 public:
  /// @param batches  at least 1
  explicit ScoreWindow(std::size_t batches) : losses_(batches) {
    PACELINE_CHECK(batches > 0, "an empty score window");
  }
  /// As if nothing had been added yet.
  void clear() { added_ = 0; }
  void add(double loss) { losses_[added_++ % losses_.size()] = loss; }
  double score() const {
    if (added_ < losses_.size()) return std::numeric_limits<double>::infinity();
    double sum = 0;  // afresh each time: a running sum would never lose a NaN
    for (const double loss : losses_) sum += loss;
    return sum / static_cast<double>(losses_.size());
  }

 private:
  std::vector<double> losses_;
  std::size_t added_ = 0;
};

}  // namespace paceline
