// `paceline bench fabric`: reads and letters between two processes of this machine, over each fabric.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "paceline/net/fabric_kind.h"
#include "paceline/result.h"

namespace paceline {

struct FabricBenchOptions {
  std::vector<FabricKind> fabrics;
  /// Of the largest slot; the arenas of both processes take about eight times as much.
  std::size_t largest_bytes = std::size_t{256} << 20;
  std::string here, there;  ///< where the two processes listen; empty: anywhere on this host
};

/// Measures for some seconds. The other process is this program once more; it hosts the slots.
/// @return {"cores", "results": [{"fabric",
///          "letter_seconds": until its sender knows that a letter lies in the other's mailbox, one
///          after the other, the median; "reads": [{"bytes", "seconds": the median of reads one
///          after the other, "bytes_per_second"; of slots up to 1 MiB "bytes_per_second_of_eight":
///          with so many reads under way at any time}]}]}
Result<nlohmann::json> bench_fabric(const FabricBenchOptions& options);

/// What the other process does, until it is killed or its parent ends.
/// @param peer  as bench_fabric() wrote it
/// @return only a failure
Error answer_bench_fabric(const std::string& peer);

}  // namespace paceline
