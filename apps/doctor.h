// `paceline doctor`: says what this machine has for training, what it lacks, and what to do.
#pragma once

#include <span>
#include <string>

#include "paceline/apps/exit_code.h"

namespace paceline {

/// @return kFailed when something that training needs is missing
ExitCode doctor(std::span<const std::string> arguments);

}  // namespace paceline
