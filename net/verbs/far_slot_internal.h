// The words of a slot in a peer's arena, as READs bring them: what slot_internal.h lays out. Private
// to net/verbs. Threading: none.
#pragma once

#include <cstddef>
#include <cstdint>

#include "paceline/net/slot_internal.h"

namespace paceline {

/// What changes with each publish.
struct FarHeader {
  std::uint64_t newest = 0;
  std::uint64_t held[kBuffers] = {};

  std::uint32_t buffer() const { return static_cast<std::uint32_t>(buffer_of(newest)); }
};

/// What a slot is, which never changes, and its header.
struct FarSlot {
  std::uint64_t bytes = 0, stride = 0, payload = 0, pins = 0, checksums = 0, elsewhere = 0,
                later = 0, reserved = 0;
  std::byte handle[kHandleBytes] = {};
  FarHeader header;
};
inline constexpr std::size_t kFarHeaderOffset = offsetof(FarSlot, header);
static_assert(kFarHeaderOffset == offsetof(SlotWords, newest) &&
              offsetof(SlotWords, held) == offsetof(SlotWords, newest) + sizeof(std::uint64_t) &&
              offsetof(FarSlot, elsewhere) == offsetof(SlotWords, elsewhere) &&
              offsetof(FarSlot, reserved) == offsetof(SlotWords, reserved));

}  // namespace paceline
