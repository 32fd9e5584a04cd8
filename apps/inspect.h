// `paceline inspect NETWORK|FILE.net`: what a network is made of and what it takes.
#pragma once

#include <span>
#include <string>

#include "paceline/apps/exit_code.h"

namespace paceline {

/// @param arguments  what follows the command's name
ExitCode inspect(std::span<const std::string> arguments);

}  // namespace paceline
