#include "paceline/net/frames.h"

#include <algorithm>
#include <cstring>

namespace paceline {
namespace {

template <class F, class... Args>
Error wrong(const F&, fmt::format_string<Args...> text, Args&&... args) {
  return fail(std::errc::illegal_byte_sequence, "a {} frame with {}", name_of(F::kKind),
              fmt::format(text, std::forward<Args>(args)...));
}

template <class F>
Result<> check_reserved(const F& frame) {
  if (frame.reserved != 0) return wrong(frame, "reserved bytes that are not zero");
  return success();
}

template <class F>
Result<> check_read(const F& frame) {
  if (frame.read == 0) return wrong(frame, "read 0");
  return success();
}

// ---- Each kind's fields ----

Result<> check(const Hello& frame) { return check_reserved(frame); }
Result<> check(const Challenge&) { return success(); }
Result<> check(const Proof&) { return success(); }
Result<> check(const Pulse&) { return success(); }
Result<> check(const Goodbye&) { return success(); }

Result<> check(const Welcome& frame) {
  if (frame.slots > kMostSlotIndex || frame.mailboxes > kMostMailboxIndex)
    return wrong(frame, "{} slots and {} mailboxes", frame.slots, frame.mailboxes);
  if (frame.sender >= kMostSenders) return wrong(frame, "sender {}", frame.sender);
  if (frame.segment_bytes > frame.segment.size())
    return wrong(frame, "a segment's name of {} bytes", frame.segment_bytes);
  const auto end = frame.segment.begin() + frame.segment_bytes;
  if (std::any_of(frame.segment.begin(), end, [](char c) { return c < '!' || c > '~'; }) ||
      std::any_of(end, frame.segment.end(), [](char c) { return c != 0; }))
    return wrong(frame, "a segment's name that is none");
  return success();
}

Result<> check(const Refusal& frame) {
  if (frame.reason < RefusalReason::other_version || frame.reason > RefusalReason::protocol)
    return wrong(frame, "reason {}", static_cast<std::uint32_t>(frame.reason));
  return success();
}

Result<> check(const LetterFrame& frame) {
  PACELINE_TRYV(check_reserved(frame));
  if (frame.mailbox >= kMostMailboxIndex) return wrong(frame, "mailbox {}", frame.mailbox);
  if (frame.letter.bytes > sizeof frame.letter.payload)
    return wrong(frame, "a payload of {} bytes", frame.letter.bytes);
  return success();
}

Result<> check(const LetterAnswer& frame) {
  if (frame.verdict < LetterVerdict::delivered || frame.verdict > LetterVerdict::no_such_mailbox)
    return wrong(frame, "verdict {}", static_cast<std::uint32_t>(frame.verdict));
  return check_reserved(frame);
}

Result<> check(const ReadRequest& frame) {
  PACELINE_TRYV(check_read(frame));
  if (frame.slot >= kMostSlotIndex) return wrong(frame, "slot {}", frame.slot);
  if (frame.checksum > 1) return wrong(frame, "checksum {}", frame.checksum);
  if (frame.bytes > kMostSlotBytes) return wrong(frame, "{} bytes", frame.bytes);
  if (frame.within > kMostMilliseconds) return wrong(frame, "{} ms", frame.within);
  return success();
}

Result<> check(const ReadBegin& frame) {
  PACELINE_TRYV(check_read(frame));
  if (frame.version == 0) return wrong(frame, "version 0");
  if (frame.bytes > kMostSlotBytes) return wrong(frame, "{} bytes", frame.bytes);
  return success();
}

Result<> check(const Chunk& frame) {
  PACELINE_TRYV(check_read(frame));
  PACELINE_TRYV(check_reserved(frame));
  if (frame.bytes == 0 || frame.bytes > kMostChunkBytes)
    return wrong(frame, "{} bytes", frame.bytes);
  if (frame.offset > kMostSlotBytes - frame.bytes) return wrong(frame, "offset {}", frame.offset);
  return success();
}

Result<> check(const ReadEnd& frame) { return check_read(frame); }

Result<> check(const ReadRefusal& frame) {
  PACELINE_TRYV(check_read(frame));
  if (frame.reason < ReadRefusalReason::no_such_slot || frame.reason > ReadRefusalReason::expired)
    return wrong(frame, "reason {}", static_cast<std::uint32_t>(frame.reason));
  if (frame.bytes > kMostSlotBytes) return wrong(frame, "{} bytes", frame.bytes);
  return check_reserved(frame);
}

Result<> check(const Acknowledge& frame) {
  if (frame.read == 0 && frame.ticket == 0) return wrong(frame, "neither read nor ticket");
  return success();
}

Result<> check(const ArenaOffer& frame) {
  PACELINE_TRYV(check_reserved(frame));
  if (frame.ordered > 1) return wrong(frame, "order {}", frame.ordered);
  if (frame.slots > kMostSlotIndex) return wrong(frame, "{} slots", frame.slots);
  constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 48;
  if (frame.bytes == 0 || frame.bytes > kMostBytes || frame.address > ~frame.bytes)
    return wrong(frame, "{} bytes at {:#x}", frame.bytes, frame.address);
  if (frame.slot_stride > kMostSlotStride || frame.first_slot > frame.bytes ||
      frame.slots * frame.slot_stride > frame.bytes - frame.first_slot)
    return wrong(frame, "slots at {}, each {} further", frame.first_slot, frame.slot_stride);
  return success();
}

Result<> check(const ReadOffer& frame) {
  PACELINE_TRYV(check_read(frame));
  if (frame.version == 0) return wrong(frame, "version 0");
  if (frame.bytes > kMostSlotBytes || frame.address > ~frame.bytes)
    return wrong(frame, "{} bytes at {:#x}", frame.bytes, frame.address);
  if (frame.buffer > 2) return wrong(frame, "buffer {}", frame.buffer);
  return success();
}

Result<> check(const Credit& frame) {
  if (frame.frames == 0 || frame.frames > kMostCredit)
    return wrong(frame, "{} frames", frame.frames);
  return check_reserved(frame);
}

// ---- Kinds ----

template <class F>
Result<Frame> parse_as(std::span<const std::byte> bytes) {
  F frame;
  std::memcpy(&frame, bytes.data(), sizeof frame);
  PACELINE_TRYV(check(frame));
  return Frame(frame);
}

struct Kind {
  FrameKind kind;
  const char* name;
  std::size_t bytes;
  Result<Frame> (*parse)(std::span<const std::byte>);
};

template <class F>
constexpr Kind kind(const char* name) {
  return {F::kKind, name, sizeof(F), parse_as<F>};
}

constexpr Kind kKinds[] = {
    kind<Hello>("hello"),
    kind<Challenge>("challenge"),
    kind<Proof>("proof"),
    kind<Welcome>("welcome"),
    kind<Refusal>("refusal"),
    kind<LetterFrame>("letter"),
    kind<LetterAnswer>("letter_answer"),
    kind<ReadRequest>("read_request"),
    kind<ReadBegin>("read_begin"),
    kind<Chunk>("chunk"),
    kind<ReadEnd>("read_end"),
    kind<ReadRefusal>("read_refusal"),
    kind<Acknowledge>("acknowledge"),
    kind<Pulse>("pulse"),
    kind<Goodbye>("goodbye"),
    kind<ArenaOffer>("arena_offer"),
    kind<ReadOffer>("read_offer"),
    kind<Credit>("credit"),
};
static_assert(std::size(kKinds) == std::variant_size_v<Frame>);

const Kind* find_kind(FrameKind wanted) {
  const auto* found =
      std::ranges::find_if(kKinds, [=](const Kind& each) { return each.kind == wanted; });
  return found == std::end(kKinds) ? nullptr : found;
}

}  // namespace

std::size_t frame_bytes(FrameKind kind) {
  const Kind* found = find_kind(kind);
  return found == nullptr ? 0 : found->bytes;
}

const char* name_of(FrameKind kind) {
  const Kind* found = find_kind(kind);
  return found == nullptr ? "unknown" : found->name;
}

const char* name_of(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::other_version:
      return "it speaks another version of the fabric";
    case RefusalReason::wrong_token:
      return "the token is not that of its run";
    case RefusalReason::other_layout:
      return "its vectors have another layout";
    case RefusalReason::too_many_peers:
      return "it has as many peers as it can take";
    case RefusalReason::protocol:
      return "something else came than was to come";
  }
  return "for no reason that is known here";
}

Result<FrameHead> parse_frame_head(std::span<const std::byte> bytes) {
  FrameHead head;
  if (bytes.size() < sizeof head)
    return fail(std::errc::illegal_byte_sequence, "{} bytes are no frame", bytes.size());
  std::memcpy(&head, bytes.data(), sizeof head);
  if (head.magic != kFrameMagic)
    return fail(std::errc::illegal_byte_sequence, "what came is no frame of a fabric: {:08x}",
                head.magic);
  const Kind* found = find_kind(head.kind);
  if (found == nullptr)
    return fail(std::errc::illegal_byte_sequence, "a frame of the unknown kind {}",
                static_cast<std::uint16_t>(head.kind));
  if (head.bytes != found->bytes)
    return fail(std::errc::illegal_byte_sequence, "a {} frame with {} bytes instead of {}",
                found->name, head.bytes, found->bytes);
  return head;
}

Result<Frame> parse_frame(std::span<const std::byte> bytes) {
  PACELINE_TRY(const FrameHead head, parse_frame_head(bytes));
  if (bytes.size() != head.bytes)
    return fail(std::errc::illegal_byte_sequence, "a {} frame of {} bytes in {}",
                name_of(head.kind), head.bytes, bytes.size());
  return find_kind(head.kind)->parse(bytes);
}

}  // namespace paceline
