// `paceline train`: from options to a finished run directory.
#pragma once

#include <span>
#include <string>

#include "paceline/apps/exit_code.h"

namespace paceline {

/// @param arguments    what follows the command's name
/// @param environment  "NAME=VALUE" each
ExitCode train(std::span<const std::string> arguments, std::span<const std::string> environment);

}  // namespace paceline
