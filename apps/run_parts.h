// What a run is made of beside its options: the same in the node's process and in its workers'.
#pragma once

#include <string>

#include "paceline/apps/train_options.h"
#include "paceline/layers/input/dataset.h"
#include "paceline/layers/network.h"
#include "paceline/result.h"

namespace paceline {

struct RunParts {
  Data data;
  Network network;
  std::string device;  ///< its description
};

/// Nothing is written: a mistake here leaves nothing behind.
Result<RunParts> open_run_parts(const TrainOptions& options);

}  // namespace paceline
