// The device "cpu": oneDNN on exactly DeviceOptions::threads cores, f32, direct convolutions only.
#pragma once

#include <memory>

#include "paceline/compute/device.h"

namespace paceline {

std::unique_ptr<Device> make_cpu_device(const DeviceOptions& options);

}  // namespace paceline
