// How fast a fabric reaches this host itself, for doctor.
#pragma once

#include "paceline/net/fabric_kind.h"

namespace paceline {

/// Reads a slot of 16 MiB some times between two arenas of this process.
/// @param options  of both ends: where they listen
/// @return bytes a second, of the median
Result<double> loopback_bytes_per_second(FabricKind kind, FabricOptions options);

}  // namespace paceline
