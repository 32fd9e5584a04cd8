// paceline lab --replay FILE: the course of a recorded run, taken again in the simulator.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "paceline/apps/exit_code.h"

namespace paceline {

bool asks_for_replay(std::span<const std::string> words);
/// @return kFailed where what came out has other bits than the run; kMistaken for what is no course,
/// or does not fit
ExitCode lab_replay(const std::vector<std::string>& words);

}  // namespace paceline
