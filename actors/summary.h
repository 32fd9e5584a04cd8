// summary.json: what a run came to, in one object.
#pragma once

#include <string>

#include "paceline/actors/run.h"

namespace paceline {

/// The text of summary.json: one JSON object, indented; what is not finite is null.
std::string summary_json(const RunSummary& summary);

}  // namespace paceline
