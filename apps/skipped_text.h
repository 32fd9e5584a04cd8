// Image files that could not be read, for people.
#pragma once

#include <string>

#include "paceline/layers/input/reading_log.h"

namespace paceline {

/// One line: how many, the first few by name and why. Empty if there are none.
std::string skipped_text(const SkippedFiles& skipped);

}  // namespace paceline
