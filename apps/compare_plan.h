// What paceline compare is asked for: the contenders, and the runs that follow from them. Options come
// from the command line, then from a plan: an INI file of the same names with a section for each
// contender that has some of its own.
//   CO-1 A common option that decides how workers coordinate reaches the contenders whose protocol
//        has it; one in a contender's own section must mean something to it.
//   CO-2 A sequential protocol gets one worker with as many threads as all workers of the others
//        have, or as there are cores.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "paceline/actors/protocol.h"
#include "paceline/apps/given_options.h"
#include "paceline/apps/train_options.h"

namespace paceline {

/// A protocol with options of its own: a row of the table, a curve.
struct Contender {
  std::string name;  ///< of the protocol, or of a section that names one
  const Protocol* protocol = nullptr;
  std::vector<double> rates;
  std::vector<std::uint64_t> seeds;
  std::vector<std::string> words;  ///< "--tau=4", for paceline train
  std::string note;                ///< what it was given that nobody asked for
};

struct ComparePlan {
  double minutes = 4, grid_minutes = 1;
  std::vector<Contender> contenders;
  std::string text;  ///< as a file that gives the same plan
};

/// A training run of the plan.
struct PlannedRun {
  std::size_t contender = 0;
  bool grid = false;  ///< to find the rate
  double rate = 0;
  std::uint64_t seed = 0;
};

struct CompareOptions {
  std::filesystem::path folder;
  ComparePlan plan;
  std::vector<std::size_t> chosen;  ///< contenders, by --only
  bool report = false, json = false, help = false;
  std::string csv, plot;
};

std::vector<OptionName> compare_option_names();

/// @param environment  "NAME=VALUE" each
Result<CompareOptions> read_compare_options(const std::vector<std::string>& words,
                                            std::span<const std::string> environment);

/// The options of a run, but its folder. @return paceline train's own refusal, with the contender
Result<TrainOptions> options_of(const ComparePlan& plan, const PlannedRun& run,
                                std::span<const std::string> environment);

/// "lsgd, rate 0.05, seed 1"
std::string described(const ComparePlan& plan, const PlannedRun& run);

}  // namespace paceline
