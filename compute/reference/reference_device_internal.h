// The device "reference": executes a Program by the plain loops of operations_internal.h, in double
// precision and on one core. Slow on purpose; it is what other devices are compared with.
#pragma once

#include <memory>

#include "paceline/compute/device.h"

namespace paceline {

std::unique_ptr<Device> make_reference_device();

}  // namespace paceline
