// `paceline eval`: tests the network that a file of weights holds.
#pragma once

#include <span>
#include <string>

#include "paceline/apps/exit_code.h"

namespace paceline {

/// @param arguments  what follows the command's name
ExitCode eval(std::span<const std::string> arguments);

}  // namespace paceline
