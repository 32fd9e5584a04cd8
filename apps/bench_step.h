// `paceline bench step`: how fast one worker's engine trains a network on this machine.
#pragma once

#include <nlohmann/json.hpp>

#include "paceline/layers/network.h"
#include "paceline/result.h"

namespace paceline {

/// Times whole steps (forward, backward, Nesterov update) on random images; the median of 20.
/// @param threads  cores of the engine
/// @return {"network","batch","threads","images_per_second","milliseconds","loss",
///         "activation_bytes","device"}
Result<nlohmann::json> bench_step(const Network& network, std::size_t batch, unsigned threads);

}  // namespace paceline
