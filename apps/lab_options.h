// What paceline lab was asked for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "paceline/actors/simulation/trial.h"
#include "paceline/apps/given_options.h"

namespace paceline {

struct LabOptions {
  std::vector<const Protocol*> protocols;
  ProblemOptions problem;
  TrialOptions trial;  ///< of all; each takes its protocol and its settings
  Settings set;        ///< fixed, for the protocols that know them
  std::vector<std::pair<std::string, std::vector<std::string>>> sweep;  ///< lr, seed or a setting
  CommandLine given;  ///< all that was said
  bool reference = false, json = false, help = false;
  std::string csv, plot;  ///< files; empty: none
};

std::vector<OptionName> lab_option_names();
Result<LabOptions> read_lab_options(const std::vector<std::string>& words);

}  // namespace paceline
