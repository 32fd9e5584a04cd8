#include <algorithm>
#include <functional>
#include <numeric>

#include "paceline/compute/placement_internal.h"

namespace paceline {

Placement place(std::span<const Lifetime> memories, std::size_t alignment) {
  const auto rounded = [&](std::size_t e) {
    return (memories[e].bytes + alignment - 1) / alignment * alignment;
  };
  std::vector<std::size_t> order(memories.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{}, rounded);
  Placement result{.offsets = std::vector<std::size_t>(memories.size()), .bytes = 0};
  std::vector<std::size_t> placed;  // by offset
  const auto offset = [&](std::size_t e) { return result.offsets[e]; };
  for (const std::size_t e : order) {
    const Lifetime& life = memories[e];
    std::size_t at = 0;
    for (const std::size_t other : placed) {
      if (memories[other].last < life.first || life.last < memories[other].first) continue;
      if (at + rounded(e) <= offset(other)) break;
      at = std::max(at, offset(other) + rounded(other));
    }
    result.offsets[e] = at;
    result.bytes = std::max(result.bytes, at + rounded(e));
    placed.insert(std::ranges::upper_bound(placed, at, {}, offset), e);
  }
  return result;
}

}  // namespace paceline
