// paceline lab: protocols against each other in the simulator, on objectives whose optimum is known.
#pragma once

#include <string>
#include <vector>

#include "paceline/apps/exit_code.h"

namespace paceline {

ExitCode lab(const std::vector<std::string>& words);

}  // namespace paceline
