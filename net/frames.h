// What travels between two fabrics: fixed-size structs, little-endian, each with its kind and its
// length at the front; a chunk alone is followed by bytes of a slot. Threading: any thread; parsers
// are pure. docs/wire-formats.md has the same as a table.
//   FR-1 parse_frame() accepts exactly what make_frame() and a correct peer write: another length,
//        an unknown kind or reason, a field out of its bounds or a reserved byte that is not zero is
//        one error that names the frame and the field.
//   FR-2 No frame has padding: every byte on the wire is a field that was written.
//   FR-3 A parsed frame's numbers are within the bounds below: their sums do not overflow. Whether
//        they fit this arena is for who uses them to say.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <variant>

#include "paceline/net/mailbox.h"
#include "paceline/result.h"

namespace paceline {

static_assert(std::endian::native == std::endian::little, "frames are little-endian");

inline constexpr std::uint32_t kFrameMagic = 0x464c4350;  // "PCLF"
inline constexpr std::uint32_t kFabricVersion = 1;
inline constexpr std::size_t kMostFrameBytes = 256;
inline constexpr std::uint32_t kMostChunkBytes = 1U << 20;
inline constexpr std::uint64_t kMostSlotBytes = std::uint64_t{1} << 40;
inline constexpr std::uint32_t kMostSlotIndex = 1U << 20;
inline constexpr std::uint32_t kMostMailboxIndex = 1U << 16;
inline constexpr std::uint64_t kMostSlotStride = std::uint64_t{1} << 24;
inline constexpr std::uint32_t kMostCredit = 1U << 16;
inline constexpr std::uint64_t kMostMilliseconds = std::uint64_t{1000} * 60 * 60 * 24 * 365;

enum class FrameKind : std::uint16_t {
  hello = 1,
  challenge,
  proof,
  welcome,
  refusal,
  letter,
  letter_answer,
  read_request,
  read_begin,
  chunk,
  read_end,
  read_refusal,
  acknowledge,
  pulse,
  goodbye,
  arena_offer,
  read_offer,
  credit,
};

struct FrameHead {
  std::uint32_t magic = kFrameMagic;
  FrameKind kind = {};
  std::uint16_t bytes = 0;  ///< of the frame with this head, without a chunk's payload
};

using Nonce = std::array<std::byte, 32>;
using Mac = std::array<std::byte, 32>;

/// Who connects, first of all. `mac` is over version, layout and nonce.
struct Hello {
  static constexpr FrameKind kKind = FrameKind::hello;
  FrameHead head;
  std::uint32_t version = kFabricVersion;
  std::uint32_t reserved = 0;
  std::uint64_t layout_hash = 0;
  Nonce nonce = {};
  Mac mac = {};
};

/// Who was called, to one whose Hello was right. `mac` is over both nonces.
struct Challenge {
  static constexpr FrameKind kKind = FrameKind::challenge;
  FrameHead head;
  Nonce nonce = {};
  Mac mac = {};
};

/// Who connects, to one whose Challenge was right. `mac` is over both nonces.
struct Proof {
  static constexpr FrameKind kKind = FrameKind::proof;
  FrameHead head;
  Mac mac = {};
};

/// Who was called, to one whose Proof was right: what its arena has, and where it lies for a peer
/// that can reach its memory.
struct Welcome {
  static constexpr FrameKind kKind = FrameKind::welcome;
  FrameHead head;
  std::uint32_t slots = 0;
  std::uint32_t mailboxes = 0;
  std::uint32_t sender = 0;         ///< the number under which the peer may write to the mailboxes
  std::uint32_t segment_bytes = 0;  ///< of `segment` that are its name; 0: not for this peer
  std::array<char, 128> segment = {};
};

enum class RefusalReason : std::uint32_t {
  other_version = 1,
  wrong_token,
  other_layout,
  too_many_peers,
  protocol,  ///< something else came than was to come
};

struct Refusal {
  static constexpr FrameKind kKind = FrameKind::refusal;
  FrameHead head;
  RefusalReason reason = {};
  std::uint32_t version = kFabricVersion;  ///< of who refuses
};

struct LetterFrame {
  static constexpr FrameKind kKind = FrameKind::letter;
  FrameHead head;
  std::uint64_t number = 0;  ///< of this connection's letters, from 0, without gaps
  std::uint32_t mailbox = 0;
  std::uint32_t reserved = 0;
  Letter letter;
};

enum class LetterVerdict : std::uint32_t { delivered = 1, full, no_such_mailbox };

struct LetterAnswer {
  static constexpr FrameKind kKind = FrameKind::letter_answer;
  FrameHead head;
  std::uint64_t number = 0;
  LetterVerdict verdict = {};
  std::uint32_t reserved = 0;
};

struct ReadRequest {
  static constexpr FrameKind kKind = FrameKind::read_request;
  FrameHead head;
  std::uint64_t read = 0;  ///< of this connection's reads, from 1, growing
  std::uint32_t slot = 0;
  std::uint32_t checksum = 0;  ///< 1: ReadEnd shall carry the payload's
  std::uint64_t ticket = 0;    ///< of the announcement; 0: whatever is newest
  std::uint64_t bytes = 0;     ///< that the reader has room for: the slot's
  std::uint64_t within = 0;    ///< milliseconds after which nobody needs the answer
};

/// The header in front of the payload.
struct ReadBegin {
  static constexpr FrameKind kKind = FrameKind::read_begin;
  FrameHead head;
  std::uint64_t read = 0;
  std::uint64_t version = 0;
  std::uint64_t bytes = 0;
};

/// Followed by `bytes` bytes of the payload; offsets of one read grow without gaps.
struct Chunk {
  static constexpr FrameKind kKind = FrameKind::chunk;
  FrameHead head;
  std::uint64_t read = 0;
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
  std::uint32_t reserved = 0;
};

/// The header behind the payload: the version that the buffer holds now.
struct ReadEnd {
  static constexpr FrameKind kKind = FrameKind::read_end;
  FrameHead head;
  std::uint64_t read = 0;
  std::uint64_t version = 0;
  std::uint64_t checksum = 0;  ///< XXH3 of the payload; 0 when it was not asked for
};

enum class ReadRefusalReason : std::uint32_t {
  no_such_slot = 1,
  other_size,
  nothing_published,
  no_pin,   ///< all pin words are taken, or the slot's own checksum does not match
  expired,  ///< the pin's deadline passed before everything was sent
};

struct ReadRefusal {
  static constexpr FrameKind kKind = FrameKind::read_refusal;
  FrameHead head;
  std::uint64_t read = 0;
  std::uint64_t bytes = 0;  ///< of the slot, after other_size
  ReadRefusalReason reason = {};
  std::uint32_t reserved = 0;
};

/// The reader needs the pin no longer, whether it has everything or has given up.
struct Acknowledge {
  static constexpr FrameKind kKind = FrameKind::acknowledge;
  FrameHead head;
  std::uint64_t read = 0;    ///< 0: not by a read of this connection
  std::uint64_t ticket = 0;  ///< 0: none
};

/// A sign of life where nothing else is to be said.
struct Pulse {
  static constexpr FrameKind kKind = FrameKind::pulse;
  FrameHead head;
};

/// The last frame: its sender has nothing under way and answers nothing any more.
struct Goodbye {
  static constexpr FrameKind kKind = FrameKind::goodbye;
  FrameHead head;
};

// ---- Between queue pairs alone ----

/// Where the arena lies for READs: between proof and welcome.
struct ArenaOffer {
  static constexpr FrameKind kKind = FrameKind::arena_offer;
  FrameHead head;
  std::uint64_t address = 0;      ///< in the peer's memory
  std::uint64_t bytes = 0;        ///< of what has memory from the beginning
  std::uint64_t first_slot = 0;   ///< from `address` to the words of slot 0
  std::uint64_t slot_stride = 0;  ///< from a slot's words to those of the next
  std::uint32_t key = 0;
  std::uint32_t slots = 0;
  std::uint32_t ordered = 0;  ///< 1: the device reads memory in the order of the READs
  std::uint32_t reserved = 0;
};

/// The answer to a read_request: a version that is pinned for the reader, and where.
struct ReadOffer {
  static constexpr FrameKind kKind = FrameKind::read_offer;
  FrameHead head;
  std::uint64_t read = 0;
  std::uint64_t version = 0;
  std::uint64_t bytes = 0;
  std::uint64_t address = 0;   ///< of the payload, in the peer's memory
  std::uint64_t checksum = 0;  ///< XXH3 of the payload; 0 when it was not asked for
  std::uint32_t key = 0;
  std::uint32_t buffer = 0;  ///< which of the slot's three it is
};

/// So many more frames may come: there is room for them.
struct Credit {
  static constexpr FrameKind kKind = FrameKind::credit;
  FrameHead head;
  std::uint32_t frames = 0;
  std::uint32_t reserved = 0;
};

using Frame = std::variant<Hello, Challenge, Proof, Welcome, Refusal, LetterFrame, LetterAnswer,
                           ReadRequest, ReadBegin, Chunk, ReadEnd, ReadRefusal, Acknowledge, Pulse,
                           Goodbye, ArenaOffer, ReadOffer, Credit>;

/// A frame of this kind whose head is right and whose fields are as they are by default.
template <class F>
F make_frame() {
  static_assert(std::is_trivially_copyable_v<F> && std::is_standard_layout_v<F> &&
                std::has_unique_object_representations_v<F> && sizeof(F) <= kMostFrameBytes);
  F frame;
  frame.head.kind = F::kKind;
  frame.head.bytes = sizeof(F);
  return frame;
}

template <class F>
std::span<const std::byte> bytes_of(const F& frame) {
  return std::as_bytes(std::span(&frame, 1));
}

/// Of one frame, without a chunk's payload; 0: there is no such kind.
std::size_t frame_bytes(FrameKind kind);
/// For people: "read_request".
const char* name_of(FrameKind kind);
const char* name_of(RefusalReason reason);

/// Whether a frame can begin so.
/// @param bytes  at least those of a FrameHead
/// @return the head, whose length is that of its kind; illegal_byte_sequence
Result<FrameHead> parse_frame_head(std::span<const std::byte> bytes);

/// @param bytes  one frame, without a chunk's payload
/// @return illegal_byte_sequence, naming frame and field
Result<Frame> parse_frame(std::span<const std::byte> bytes);

}  // namespace paceline
