// Which seats workers are added to, and which they are removed from. Pure: no state, any thread.
//   CC-1 Groups stay as even as they can; a group with no worker left has no leader, and gets none.
//   CC-2 All that were asked for, or none and why.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "paceline/actors/place.h"
#include "paceline/result.h"

namespace paceline {

/// A seat, as far as that matters here.
struct SeatView {
  enum class Now : std::uint8_t {
    riding,
    awaited,  ///< who sat there has crashed, and another is to come
    free,     ///< nobody sits there, nor is to
    closed    ///< who sits there has done its work, or is being removed
  };
  std::uint32_t group = 0;
  Now now = Now::free;
  bool leads = false;  ///< who sits there leads the run
};

/// @param seats  by rank
/// @return ranks of free seats, of the groups with the fewest workers first
Result<std::vector<Rank>> choose_to_add(std::span<const SeatView> seats, std::uint32_t n);

/// @return ranks of workers, of the groups with the most first: who is awaited, then who has the
/// highest rank, who leads last
Result<std::vector<Rank>> choose_to_remove(std::span<const SeatView> seats, std::uint32_t n);

}  // namespace paceline
