// `paceline group`: one group of a run, in a process of its own. Started by paceline train --fabric.
#pragma once

#include <span>
#include <string>

#include "paceline/apps/exit_code.h"

namespace paceline {

/// @param arguments  what follows `paceline group`
ExitCode group(std::span<const std::string> arguments);

}  // namespace paceline
