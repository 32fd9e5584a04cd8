// paceline protocols: what there is to choose from, with sources, settings and traffic.
#pragma once

#include <string>
#include <vector>

#include "paceline/apps/exit_code.h"

namespace paceline {

ExitCode list_protocols(const std::vector<std::string>& words);

}  // namespace paceline
