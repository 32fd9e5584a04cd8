// `paceline worker`: one worker of a run whose workers are processes. The run starts it; nobody
// else has to.
#pragma once

#include <span>
#include <string>

#include "paceline/apps/exit_code.h"

namespace paceline {

ExitCode worker(std::span<const std::string> arguments);

}  // namespace paceline
