// One run of the lab: a protocol on a problem under conditions, watched until it stands still.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "paceline/actors/simulation/problem.h"
#include "paceline/actors/simulation/virtual_time.h"

namespace paceline {

struct TrialOptions {
  const Protocol* protocol = nullptr;
  Settings settings;
  std::uint32_t groups = 1, workers = 8;
  std::uint32_t joining = 0;  ///< workers beside those, whom conditions add
  double learning_rate = 0;   ///< 0: the problem's
  double momentum = 0.9;      ///< of protocols that have it
  std::size_t batch = 0;      ///< rows or images of a gradient; 0: exact, or the problem's
  double spread = 1;          ///< how far apart workers begin where f is not convex
  std::uint64_t iterations = 20'000, seed = 1;
  std::uint64_t every = 0;          ///< iterations from sample to sample; 0: a 10th, 50 at most
  std::uint64_t stagnation = 2000;  ///< iterations without progress that end it; 0: none do
  Conditions conditions;  ///< a sequential protocol has one worker: of others nothing happens
  /// Asked between samples, perhaps from several threads: true ends the run with what there is.
  std::function<bool()> interrupted;
};

/// What was seen at one moment. The point is the centre's, else the leader's, else the workers' mean.
struct Sample {
  double virtual_seconds = 0;
  std::uint64_t iterations = 0;  ///< of the worker that has taken most
  std::uint64_t gradients = 0;   ///< of all
  std::uint64_t bytes = 0;       ///< vectors and codes received, messages sent
  double objective = 0;
  std::optional<double> distance_squared;  ///< to the optimum, if it is known
  std::optional<double>
      test_error;  ///< where there is a test set: of the end, else if that is cheap
};

struct TrialResult {
  std::vector<Sample> samples;  ///< the last: the end
  std::uint64_t messages = 0, events = 0, faults = 0;
  std::uint64_t link_bytes = 0;  ///< from group to group
  double queued_seconds = 0;     ///< virtual, that all that stood before links
  bool interrupted = false;
  double learning_rate = 0;
  bool diverged = false;           ///< what was not finite, or far above where it began
  std::vector<double> point;       ///< at the end
  std::vector<double> objectives;  ///< of the first 64 workers' own x at the end
};

/// @param optimum  may be empty
/// @return an error for settings that do not fit, or when there is no memory
Result<TrialResult> run_trial(const Problem& problem, const std::vector<double>& optimum,
                              const TrialOptions& options);

}  // namespace paceline
