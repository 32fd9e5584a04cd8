// `paceline bench step`: how fast one worker's engine trains a network on this machine, and how near
// every operation of a step comes to what the machine can do.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "paceline/layers/network.h"
#include "paceline/result.h"

namespace paceline {

struct StepBenchOptions {
  std::size_t batch = 128;
  unsigned threads = 1;  ///< cores of the engine
};

/// Times whole steps (forward, backward, Nesterov update) on random images, and in turn with them
/// steps with a clock around every operation; medians of 20. The machine's limits are measured just before.
/// @return {"network","image" ([C,H,W]),"batch","threads","images_per_second","milliseconds","loss",
///         "activation_bytes","device"} and what roofline() gives; each operation has a "kind", too:
///         its layer's ("conv"), "loss", "reorder" or "update"
Result<nlohmann::json> bench_step(const Network& network, const StepBenchOptions& options);

/// The same for people.
std::string step_table(const nlohmann::json& figures);

/// Lets another program say when to run, so that several are measured in turn: once warm, prints
/// {"network","image","batch","threads","device"} on a line; then for each line read from standard
/// input {"seconds": [of each of `steps` steps]} on one, until its end.
Result<> bench_steps_on_request(const Network& network, const StepBenchOptions& options,
                                std::size_t steps);

}  // namespace paceline
