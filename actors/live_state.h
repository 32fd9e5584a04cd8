// What is known of a run while it goes on: written by the recorder and the workers, read by the run
// for its progress line and its decisions. Threading: every member is an atomic of its own; no
// order between them is promised.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

#include "paceline/actors/place.h"
#include "paceline/actors/run_clock.h"

namespace paceline {

struct LiveState {
  std::atomic<std::uint64_t> steps{0};  ///< taken, over all workers
  std::atomic<Rank> leader{kNobody};    ///< elected last: of all, or of the only group
  std::atomic<double> leader_score{std::numeric_limits<double>::quiet_NaN()};
  std::atomic<std::uint64_t> leader_changes{0};
  std::atomic<double> test_error{
      std::numeric_limits<double>::quiet_NaN()};  ///< the leader's, evaluated last
  /// Of the last update, anybody's.
  std::atomic<double> learning_rate{std::numeric_limits<double>::quiet_NaN()};
  std::atomic<std::uint64_t> centre_version{0};  ///< heard of, where the centre is elsewhere
  RunClock clock;
  std::atomic<double> begun{0};  ///< by the clock, when training began; 0: not yet
  std::atomic<double> ended{0};  ///< the same when the last worker ended

  /// @param now  by the clock
  double train_seconds(double now) const {
    const double since = begun.load(), until = ended.load();
    return since > 0 ? (until > 0 ? until : now) - since : 0;
  }
};

}  // namespace paceline
