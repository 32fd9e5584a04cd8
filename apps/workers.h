// `paceline workers`: adds workers to a run that goes on, or removes some.
#pragma once

#include <span>
#include <string>

#include "paceline/apps/exit_code.h"

namespace paceline {

/// @param arguments  what follows `paceline workers`
ExitCode workers(std::span<const std::string> arguments);

}  // namespace paceline
