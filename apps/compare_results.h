// What the runs of a comparison have come to, read from their folders. Threading: any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "paceline/apps/compare_folder.h"
#include "paceline/apps/compare_plan.h"

namespace paceline {

/// A test of a run.
struct TestPoint {
  double train_seconds = 0, images = 0, error = 0;
};

/// A finished run.
struct RunRecord {
  PlannedRun run;
  double error_leader = 0, error_mean = 0, train_seconds = 0, images_per_second = 0, images = 0;
  std::optional<std::uint64_t> bytes_received;  ///< of leaders' parameters, where that is counted
  std::optional<double> train_loss;  ///< of its leader, of runs that try a rate; none: diverged
  bool diverged = false;             ///< ends with a loss that is not finite
  std::vector<TestPoint> leader, mean;
};

/// The rate that a contender takes, and what is to be said about that.
struct RateChoice {
  std::optional<double> rate;  ///< none: not all have been tried, or all diverged
  bool all_diverged = false;
  std::string note;
};

struct ContenderRecord {
  std::vector<RunRecord> tried;  ///< finished runs of the grid, in the order of its rates
  RateChoice choice;
  std::vector<RunRecord> runs;  ///< finished runs of its seeds, at the chosen rate
};

/// Where `paceline eval --on train --json` of a run that tries a rate is kept.
std::filesystem::path train_test_file(const std::filesystem::path& run);
/// Whether that is there and whole.
bool has_train_test(const std::filesystem::path& run);

/// @return an error when a file of a finished run cannot be understood
Result<ContenderRecord> read_contender(const CompareFolder& folder, const ComparePlan& plan,
                                       std::size_t contender,
                                       std::span<const std::string> environment);

/// The rate with the lowest training loss. @param failed  rates whose runs could not be made
RateChoice choose_rate(const Contender& contender, const std::vector<RunRecord>& tried,
                       const std::vector<double>& failed);

}  // namespace paceline
