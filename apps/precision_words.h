// How options spell Precision.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "paceline/apps/given_options.h"
#include "paceline/compute/device.h"
#include "paceline/result.h"

namespace paceline {

std::vector<std::pair<std::string, Precision>> precision_words();

/// --precision; f32 if it was not given.
Result<Precision> given_precision(const GivenOptions& given);

}  // namespace paceline
