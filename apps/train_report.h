// What `paceline train` says before and after a run, for people.
#pragma once

#include <string>
#include <string_view>

#include "paceline/apps/train_options.h"

namespace paceline {

/// What will run where, some lines.
/// @param device  its description
std::string train_banner(const TrainOptions& options, const Network& network, const Data& data,
                         std::string_view device);

/// What came out, where it lies, what to type next.
std::string train_results(const TrainOptions& options, const RunSummary& summary);

}  // namespace paceline
