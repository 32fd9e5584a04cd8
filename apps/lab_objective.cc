#include "paceline/apps/lab_objective.h"

#include <algorithm>

#include "paceline/actors/simulation/network_problem.h"
#include "paceline/apps/run_parts.h"
#include "paceline/apps/train_options.h"

namespace paceline {
namespace {

/// Options that describe some objectives and no others.
struct Meaning {
  const char* option;
  std::vector<std::string> objectives;
};

const std::vector<Meaning>& meanings() {
  static const std::vector<Meaning> all = {
      {"data", {"least-squares", "logistic", kNetworkObjective}},
      {"shard", {"least-squares", "logistic"}},
      {"batch", {"least-squares", "logistic", kNetworkObjective}},
      {"network", {kNetworkObjective}},
      {"rows", {"least-squares", "logistic"}},
      {"dimension", objective_names()},
      {"spectrum", {"quadratic"}},
      {"heterogeneity", {"least-squares", "logistic", "quadratic"}},
      {"l2", {"logistic"}},
      {"rank", {"matrix-completion"}},
      {"tilt", {"double-well"}},
      {"spread", {"double-well", "matrix-completion"}}};
  return all;
}

/// Read as paceline train reads them.
Result<Problem> open_network(const LabOptions& o) {
  std::vector<std::string> words;
  for (const char* name : {"network", "data"})
    if (const auto it = o.given.options.find(name); it != o.given.options.end())
      words.push_back(fmt::format("--{}={}", name, it->second.text));
  PACELINE_TRY(const TrainOptions options, parse_train_options(words, {}));
  PACELINE_TRY(RunParts parts, open_run_parts(options));
  return network_problem(options.run, std::move(parts.network), std::move(parts.data));
}

}  // namespace

std::vector<std::string> lab_objective_names() {
  std::vector<std::string> names = objective_names();
  names.emplace_back(kNetworkObjective);
  return names;
}

Result<> check_meanings(const GivenOptions& given, const std::string& objective) {
  for (const auto& [option, objectives] : meanings())
    if (given.contains(option) && std::ranges::find(objectives, objective) == objectives.end())
      return fail(std::errc::invalid_argument, "--{} means nothing to --objective {}: leave it out",
                  option, objective);
  return success();
}

Result<Problem> open_problem(const LabOptions& options) {
  if (options.problem.objective == kNetworkObjective) return open_network(options);
  return make_problem(options.problem);
}

}  // namespace paceline
