// The learning rate over a run. Progress is a fraction of the run's budget, so that one schedule
// serves runs that end by steps, by epochs and by the clock. Pure; any thread.
//   LR-1 The rate depends on the progress alone, not on what was asked before.
#pragma once

#include <cstdint>
#include <vector>

namespace paceline {

/// What becomes of the rate after the warm-up.
enum class Annealing : std::uint8_t {
  constant,  ///< it stays
  steps,     ///< times `factor` at each milestone. @source He et al. 2015: 0.1 at 1/2 and 3/4
  cosine,    ///< half a cosine, down to 0. @source Loshchilov and Hutter 2017, without restarts
};

/// Progress is a fraction of the run, in [0, 1].
struct Schedule {
  Annealing annealing = Annealing::constant;
  double warm_up = 0;                            ///< until then the rate grows linearly from 0
  std::vector<double> milestones = {0.5, 0.75};  ///< ascending; of Annealing::steps
  double factor = 0.1;                           ///< of Annealing::steps

  bool constant() const { return annealing == Annealing::constant && warm_up == 0; }
};

class LearningRate {
 public:
  /// @param full  the rate when the warm-up is over
  /// @pre warm_up in [0, 1), milestones ascending
  LearningRate(double full, Schedule schedule);

  /// @param progress  clamped to [0, 1]
  /// @source of the warm-up: Goyal et al. 2017, section 2.2
  double rate(double progress) const;

 private:
  double full_;
  Schedule schedule_;
};

}  // namespace paceline
