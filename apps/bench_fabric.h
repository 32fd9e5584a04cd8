// `paceline bench fabric`: reads and letters between two processes of this machine, over each fabric.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

#include "paceline/result.h"

namespace paceline {

/// Measures for some seconds. The other process is this program once more; it hosts the slots.
/// @param largest  the largest slot; the arenas of both processes take about eight times as much
/// @return {"cores", "results": [{"fabric": "tcp" or "shared_memory",
///          "letter_seconds": until its sender knows that a letter lies in the other's mailbox, one
///          after the other, the median; "reads": [{"bytes", "seconds": the median of reads one
///          after the other, "bytes_per_second"}]}]}
Result<nlohmann::json> bench_fabric(std::size_t largest);

/// What the other process does, until it is killed or its parent ends.
/// @param peer  as bench_fabric() wrote it
/// @return only a failure
Error answer_bench_fabric(const std::string& peer);

}  // namespace paceline
