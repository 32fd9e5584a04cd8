// Fabrics by the names that options and figures give them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "paceline/net/fabric.h"

namespace paceline {

/// Of this build.
const std::vector<std::string>& fabric_names();

/// @return invalid_argument for another name; what opening it comes to
Result<std::unique_ptr<Fabric>> open_named_fabric(const std::string& name, Arena& arena,
                                                  FabricOptions options);

/// Reads a slot of 16 MiB some times between two arenas of this process.
/// @param options  of both ends: where they listen
/// @return bytes a second, of the median
Result<double> loopback_bytes_per_second(const std::string& name, FabricOptions options);

}  // namespace paceline
