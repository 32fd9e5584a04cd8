#include "paceline/apps/readable_number.h"

#include <fmt/format.h>

namespace paceline {

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string readable_bytes(double bytes) {
  constexpr double kMiB = 1024.0 * 1024, kGiB = 1024 * kMiB;
  if (bytes >= kGiB) return fmt::format("{:.1f} GiB", bytes / kGiB);
  return fmt::format("{:.{}f} MiB", bytes / kMiB, bytes < 10 * kMiB ? 1 : 0);
}

}  // namespace paceline
