// Where memories lie in one block, by when they are live. Pure.
//   PL-1 Memories that are never live at once may share bytes; others never do.
//   PL-2 Largest first, each at the lowest offset that is free all its life.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace paceline {

struct Lifetime {
  std::size_t bytes = 0;
  std::size_t first = 0, last = 0;  ///< steps
};
struct Placement {
  std::vector<std::size_t> offsets;  ///< multiples of the alignment
  std::size_t bytes = 0;             ///< of the block
};
/// @param alignment  a power of two
Placement place(std::span<const Lifetime> memories, std::size_t alignment);

}  // namespace paceline
