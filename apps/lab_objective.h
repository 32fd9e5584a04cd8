// What paceline lab minimises, as its options say.
#pragma once

#include <string>
#include <vector>

#include "paceline/actors/simulation/problem.h"
#include "paceline/apps/given_options.h"
#include "paceline/apps/lab_options.h"

namespace paceline {

/// Those in closed form, and "cnn".
std::vector<std::string> lab_objective_names();
inline constexpr const char* kNetworkObjective = "cnn";

/// @return an error that names what was given and means nothing to the objective
Result<> check_meanings(const GivenOptions& given, const std::string& objective);

Result<Problem> open_problem(const LabOptions& options);

}  // namespace paceline
