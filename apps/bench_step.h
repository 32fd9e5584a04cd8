// `paceline bench step`: how fast one worker's engine trains a network on a device, and how near every
// operation of a step comes to what the device can do.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "paceline/compute/device.h"
#include "paceline/layers/network.h"
#include "paceline/result.h"

namespace paceline {

struct StepBenchOptions {
  std::size_t batch = 128;
  unsigned threads = 1;  ///< cores of the engine
  std::string device = "cpu";
  Precision precision = Precision::f32;
};

/// Times whole steps (forward, backward, Nesterov update) on one batch of random images that comes to
/// the device as a worker's batches do: as bytes where it takes them, staged in the middle of the step
/// before where it lets the host (CnnEngine). Rounds of several steps that take 50 ms together, the
/// last one's update ended; in turn with them a step with a clock around every operation, where the
/// device has such a clock; medians of 20. The device's limits are asked for just before.
/// @return {"network","image" ([C,H,W]),"batch","threads","device" (its description),"precision","raw",
///         "staged","images_per_second","milliseconds","update_milliseconds","loss",
///         "activation_bytes"} and, of a device that tells its operations' costs and its limits, what
///         roofline() gives; each operation has a "kind", too: its layer's ("conv"), "loss",
///         "reorder" or "update"
Result<nlohmann::json> bench_step(const Network& network, const StepBenchOptions& options);

/// The same for people.
std::string step_table(const nlohmann::json& figures);

/// Lets another program say when to run, so that several are measured in turn: once warm, prints
/// {"network","image","batch","threads","device","precision","raw","staged"} on a line; then for each
/// line read from standard input {"seconds": [of each of `steps` steps]} on one, until its end.
Result<> bench_steps_on_request(const Network& network, const StepBenchOptions& options,
                                std::size_t steps);

}  // namespace paceline
