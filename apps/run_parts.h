// What a run is made of beside its options: the same in the node's process and in its workers'.
#pragma once

#include <optional>
#include <string>

#include "paceline/apps/train_options.h"
#include "paceline/layers/input/dataset.h"
#include "paceline/layers/network.h"
#include "paceline/result.h"

namespace paceline {

struct RunParts {
  Data data;
  Network network;
  std::string device;  ///< the workers' devices, for people; a line each
};

/// Nothing is written: a mistake here leaves nothing behind.
/// @param worker  whose process this is, which opens no other's device; empty: the run's
Result<RunParts> open_run_parts(const TrainOptions& options, std::optional<Rank> worker = {});

}  // namespace paceline
