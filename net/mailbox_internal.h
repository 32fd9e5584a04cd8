// The words of a mailbox as they lie in an arena, and their bits. Private to net/.
//
//   state     turn (48) | sender (14) | phase (2)     of a place; 0: free for its first turn
//   bell      called (1) | asleep (1)                 see Mailbox::wait()
//
// Letters are numbered from 0, and so are places and their turns: letter n lies in place
// n % letters, in that place's turn n / letters. 2^48 turns of two places, at ten million letters a
// second, are 1.8 years.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "paceline/net/mailbox.h"
#include "slot_internal.h"

namespace paceline {

enum class PlacePhase : std::uint64_t {
  free,     // for the letter of this turn
  claimed,  // its sender writes it
  full,
  dropped,  // its sender died while it wrote
};

inline std::uint64_t encode_place(std::uint64_t turn, SenderId sender, PlacePhase phase) {
  return turn << 16 | static_cast<std::uint64_t>(sender) << 2 | static_cast<std::uint64_t>(phase);
}
inline std::uint64_t turn_of(std::uint64_t state) { return state >> 16; }
inline SenderId sender_of(std::uint64_t state) { return state >> 2 & (kMostSenders - 1); }
inline PlacePhase phase_of(std::uint64_t state) { return static_cast<PlacePhase>(state & 3); }

/// Of a full place nobody needs the sender, of a free or dropped one neither.
inline std::uint64_t free_place(std::uint64_t turn) {
  return encode_place(turn, 0, PlacePhase::free);
}

struct alignas(kCacheLine) MailboxPlace {
  Word state = 0;
  Letter letter;
};

using Bell = std::atomic<std::uint32_t>;  // a futex is of 32 bits
static_assert(Bell::is_always_lock_free && sizeof(Bell) == 4);
inline constexpr std::uint32_t kAsleep = 1;  // the receiver sleeps, or is about to
inline constexpr std::uint32_t kCalled = 2;  // wake() was called and not yet answered

/// A mailbox's head; its places lie further on in the same mapping. Zeroed words and places are an
/// empty mailbox.
struct alignas(kCacheLine) MailboxWords {
  // Written once, by the arena's creator.
  std::uint64_t letters = 0;  // how many places: a power of two
  std::uint64_t places = 0;   // from this head to the first place, in bytes

  // Written by senders.
  alignas(kCacheLine) Word tail = 0;  // the number of the next letter to be claimed
  Word refused = 0;

  // Written by the receiver alone.
  alignas(kCacheLine) Word head = 0;  // the number of the next letter to be taken

  // Written by a receiver that goes to sleep and by who wakes it; read at each send.
  alignas(kCacheLine) Bell bell = 0;

  MailboxPlace& place(std::uint64_t number) {
    auto* first = reinterpret_cast<MailboxPlace*>(reinterpret_cast<std::byte*>(this) + places);
    return first[number & (letters - 1)];
  }
  std::uint64_t turn(std::uint64_t number) const { return number >> std::countr_zero(letters); }
};

}  // namespace paceline
