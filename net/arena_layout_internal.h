// How an arena lies in memory, the same in a shared segment and in private memory. Private to net/.
//
//   ArenaHeader | SlotWords, pins | SlotWords, pins | … | buffers of slot 0 | of slot 1 | …
//
// Heads and buffers start on cache lines, the first buffer on a page. Threading: any thread.
//   AL-1 The magic is written last: a segment that has it is complete.
//   AL-2 Whatever check_layout() has let through, no slot of it reaches outside the mapping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "paceline/net/arena.h"
#include "slot_internal.h"

namespace paceline {

struct alignas(kCacheLine) ArenaHeader {
  Word magic = 0;  // the characters "PACELINE", in this order in memory
  std::uint64_t byte_order = 0;
  std::uint64_t layout_version = 0;
  std::uint64_t layout_hash = 0;
  std::uint64_t bytes = 0;  // of the whole segment
  std::uint64_t creator_pid = 0;
  std::uint64_t creator_start_time = 0;
  std::uint64_t slots = 0;
  std::uint64_t pins = 0;  // a slot

  SlotWords& slot(std::size_t index) {
    auto* first = reinterpret_cast<std::byte*>(this + 1);
    return *reinterpret_cast<SlotWords*>(first + index * slot_stride(pins));
  }
  static std::size_t slot_stride(std::size_t pins) {
    const std::size_t bytes = sizeof(SlotWords) + pins * sizeof(Word);
    return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
  }
};

/// @return the whole arena's bytes, in full pages; invalid_argument when it is out of all bounds
Result<std::size_t> layout_bytes(const ArenaOptions& options);

/// Lays the arena out in zeroed memory of layout_bytes().
void write_layout(void* memory, const ArenaOptions& options);

/// Whether the segment can be used by this build and holds vectors of `layout_hash` (SL-6).
/// @param bytes    of the mapping
/// @param segment  its name, for the error and to compare the creator with
/// @return one error that names the first thing which does not match
Result<> check_layout(void* memory, std::size_t bytes, const std::string& segment,
                      std::uint64_t layout_hash);

}  // namespace paceline
