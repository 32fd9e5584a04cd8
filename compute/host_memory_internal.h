// Memory of the devices that compute on the host: 64-byte aligned, zero at first. Owned by one.
#pragma once

#include <cstddef>
#include <memory>

#include "paceline/compute/device.h"

namespace paceline {

/// @return std::errc::not_enough_memory, saying how much was asked for
Result<std::unique_ptr<DeviceMemory>> allocate_host_memory(std::size_t bytes);

}  // namespace paceline
