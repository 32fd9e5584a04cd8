// How an arena lies in memory, the same in a shared segment and in private memory. Private to net/.
//
//   ArenaHeader | SlotWords, pins | … | MailboxWords | … | board | places of mailbox 0 | … |
//   buffers of slot 0 | of slot 1 | … | buffers of the slots for later
//
// Heads, board, places and buffers start on cache lines, the first buffer and those of each slot for
// later on a page. Threading: any thread.
// In private memory the first buffers of all slots lie together, then the second ones, then the third,
// which few slots ever use: their pages stay untouched.
//   AL-1 The magic is written last: a segment that has it is complete.
//   AL-2 Whatever check_layout() has let through, neither a slot nor a mailbox of it, nor its board,
//        reaches outside the mapping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mailbox_internal.h"
#include "paceline/net/arena.h"
#include "slot_internal.h"

namespace paceline {

inline std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

struct alignas(kCacheLine) ArenaHeader {
  Word magic = 0;  // the characters "PACELINE", in this order in memory
  std::uint64_t byte_order = 0;
  std::uint64_t layout_version = 0;
  std::uint64_t layout_hash = 0;
  std::uint64_t bytes = 0;           // of the whole segment
  std::uint64_t bytes_at_first = 0;  // what lies before the slots for later
  std::uint64_t creator_pid = 0;
  std::uint64_t creator_start_time = 0;
  std::uint64_t slots = 0;
  std::uint64_t pins = 0;  // a slot
  std::uint64_t mailboxes = 0;
  std::uint64_t board_bytes = 0;

  SlotWords& slot(std::size_t index) {
    return *reinterpret_cast<SlotWords*>(at(sizeof *this + index * slot_stride(pins)));
  }
  MailboxWords& mailbox(std::size_t index) {
    return reinterpret_cast<MailboxWords*>(at(mailboxes_offset()))[index];
  }
  std::span<std::byte> board() { return {at(board_offset()), board_bytes}; }
  /// Where a slot's buffers lie: offset and length.
  std::pair<std::size_t, std::size_t> buffers(std::size_t index) {
    const SlotWords& words = slot(index);
    const auto head = static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&words) -
                                               reinterpret_cast<const std::byte*>(this));
    return {head + words.payload, kBuffers * words.stride};
  }

  std::size_t mailboxes_offset() const { return sizeof *this + slots * slot_stride(pins); }
  std::size_t board_offset() const { return mailboxes_offset() + mailboxes * sizeof(MailboxWords); }
  std::size_t board_end() const { return board_offset() + round_up(board_bytes, kCacheLine); }

  static std::size_t slot_stride(std::size_t pins) {
    return round_up(sizeof(SlotWords) + pins * sizeof(Word), kCacheLine);
  }

 private:
  std::byte* at(std::size_t offset) { return reinterpret_cast<std::byte*>(this) + offset; }
};

/// In full pages.
struct ArenaBytes {
  std::size_t all = 0, at_first = 0;  ///< with and without the slots for later
};

/// @return how large the arena is; invalid_argument when it is out of all bounds
Result<ArenaBytes> layout_bytes(const ArenaOptions& options);

/// How the buffers of slots that have memory from the beginning follow each other.
enum class Interleaving : std::uint8_t { by_slot, by_buffer };

/// Lays the arena out in zeroed memory of layout_bytes(), but for the magic and the handles of buffers
/// elsewhere.
void write_layout(void* memory, const ArenaOptions& options, Interleaving interleaving);
/// Writes the magic (AL-1).
void complete_layout(void* memory);

/// Whether the segment can be used by this build and holds vectors of `layout_hash` (SL-6).
/// @param bytes    of the mapping
/// @param segment  its name, for the error and to compare the creator with
/// @return one error that names the first thing which does not match
Result<> check_layout(void* memory, std::size_t bytes, const std::string& segment,
                      std::uint64_t layout_hash);

}  // namespace paceline
