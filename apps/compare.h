// paceline compare: protocols against each other in real training runs, at equal training time: a
// small grid of rates for each, then its seeds at the best. Every run is a `paceline train` of its
// own, one at a time, below one folder; what has finished there is never made again.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "paceline/apps/exit_code.h"

namespace paceline {

ExitCode compare(const std::vector<std::string>& words, std::span<const std::string> environment);

}  // namespace paceline
