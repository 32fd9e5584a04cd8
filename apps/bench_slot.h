// `paceline bench slot`: what publishing costs beyond a copy, and what a pin costs.
#pragma once

#include <nlohmann/json.hpp>

namespace paceline {

/// Measures for some seconds, on the calling thread alone.
/// Publishing (loan, copy_block, publish) is compared with memcpy between buffers of the same kind
/// of memory and in the same number, all of them warm; both are taken in turn, and medians
/// reported. The same is done in an arena with checksums: a publish then reads what it publishes,
/// and a pin what it pins, twice.
/// @return {"memory": "shared", "huge_pages": false,
///          "results": [{"bytes", "publish_bytes_per_second", "memcpy_bytes_per_second", "ratio",
///                       "checksummed_ratio", "checksummed_pin_microseconds"}],
///          "pin_nanoseconds": to pin the newest version and let go}; "memory" is "private" where
///         /dev/shm has no room for it
nlohmann::json bench_slot();

}  // namespace paceline
