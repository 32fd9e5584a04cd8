#include "paceline/compute/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "paceline/result.h"

namespace paceline {

LearningRate::LearningRate(double full, Schedule schedule)
    : full_(full), schedule_(std::move(schedule)) {
  PACELINE_CHECK(schedule_.warm_up >= 0 && schedule_.warm_up < 1, "a warm-up of {}",
                 schedule_.warm_up);
  PACELINE_CHECK(std::ranges::is_sorted(schedule_.milestones), "milestones out of order");
}

double LearningRate::rate(double progress) const {
  const double p = std::clamp(progress, 0.0, 1.0), begin = schedule_.warm_up;
  if (p < begin) return full_ * p / begin;
  switch (schedule_.annealing) {
    case Annealing::constant:
      break;
    case Annealing::steps: {
      double rate = full_;
      for (const double milestone : schedule_.milestones)
        if (p >= milestone) rate *= schedule_.factor;
      return rate;
    }
    case Annealing::cosine:
      return full_ * (1 + std::cos(std::numbers::pi * (p - begin) / (1 - begin))) / 2;
  }
  return full_;
}

}  // namespace paceline
