// The words of a slot as they lie in an arena, and their bits. Private to net/.
//
//   newest    publication (62) | buffer (2)                  0: nothing published yet
//   pin       start time (40) | pid (22) | buffer (2)        0: free
//   loaned    as a pin                                       0: no loan is out
//
// A pid has at most 22 bits on Linux (PID_MAX_LIMIT), and 2^40 ticks of 10 ms are 348 years.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "paceline/net/process.h"

namespace paceline {

using Word = std::atomic<std::uint64_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 8,
              "words are shared between processes: no locks behind them");

inline constexpr std::size_t kCacheLine = 64;
inline constexpr std::size_t kBuffers = 3;
inline constexpr std::size_t kHandleBytes = 64;

/// A slot's head. Its pin words follow directly, on cache lines of their own; its buffers lie
/// further on in the same mapping, or elsewhere. Zeroed memory is a slot that nothing was published in.
struct alignas(kCacheLine) SlotWords {
  // Written once, by the arena's creator.
  std::uint64_t bytes = 0;      // of one buffer's payload
  std::uint64_t stride = 0;     // from one buffer to the next, in bytes
  std::uint64_t payload = 0;    // from this head to the first buffer, in bytes
  std::uint64_t pins = 0;       // pin words that follow
  std::uint64_t checksums = 0;  // whether buffers carry them
  std::uint64_t elsewhere = 0;  // whether the buffers lie outside the arena: then `payload` is 0
  std::uint64_t later = 0;      // whether there is no memory at first
  Word reserved = 0;            // whether there is now; written after the handle
  std::byte handle[kHandleBytes] = {};  // of buffers elsewhere

  // Written by the slot's writer alone.
  alignas(kCacheLine) Word newest = 0;
  Word held[kBuffers] = {};  // the version in each buffer; 0: none, or being written
  Word loaned = 0;
  Word busy = 0;

  // With checksums alone: that of each buffer, written before it is published, and what readers
  // have found (SlotDamage).
  alignas(kCacheLine) Word sum[kBuffers] = {};
  Word refused = 0;
  Word changed = 0;
  Word damaged_version = 0;

  std::span<Word> pin_words() { return {reinterpret_cast<Word*>(this + 1), pins}; }
  /// @param first  where the buffers begin in this process
  std::span<std::byte> buffer(std::byte* first, std::size_t index) const {
    return {first + index * stride, bytes};
  }
};

/// @param publication  counts the slot's publishes from 1: it grows even where versions do not
inline std::uint64_t encode_newest(std::uint64_t publication, std::size_t buffer) {
  return publication << 2 | buffer;
}
inline std::uint64_t publication_of(std::uint64_t newest) { return newest >> 2; }

inline std::uint64_t encode_owner(const ProcessIdentity& owner) {
  return owner.start_time << 24 | static_cast<std::uint64_t>(owner.pid) << 2;
}
inline std::uint64_t owner_of(std::uint64_t pin) { return pin & ~std::uint64_t{3}; }

inline std::size_t buffer_of(std::uint64_t word) { return word & 3; }  // of either kind

}  // namespace paceline
