// Large numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace paceline {

/// 351946 as "351,946".
std::string grouped(std::uint64_t number);

/// "12 MiB", "1.5 GiB".
std::string readable_bytes(double bytes);

}  // namespace paceline
