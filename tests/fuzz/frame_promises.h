// What must hold of any bytes that are given to the parsers of frames. Aborts when it does not.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "paceline/net/frames.h"

namespace paceline {

/// @return whether it was a frame
inline bool check_frame(std::span<const std::byte> bytes) {
  const auto head = parse_frame_head(bytes);
  const auto frame = parse_frame(bytes);
  if (!frame) {
    PACELINE_CHECK(
        frame.error().code == std::errc::illegal_byte_sequence && !frame.error().message.empty(),
        "an error without words");
    return false;
  }
  PACELINE_CHECK(head && head.value().bytes == bytes.size(), "a frame without a head");
  std::visit(
      [&](const auto& each) {
        // Every byte is a field: the frame is what came, and nothing was made up (FR-2).
        PACELINE_CHECK(
            sizeof each == bytes.size() && std::memcmp(&each, bytes.data(), bytes.size()) == 0,
            "a frame that is not what came");
      },
      frame.value());
  if (const auto* chunk = std::get_if<Chunk>(&frame.value()))
    PACELINE_CHECK(
        chunk->bytes <= kMostChunkBytes && chunk->offset + chunk->bytes <= kMostSlotBytes,
        "a chunk beyond its bounds");
  if (const auto* letter = std::get_if<LetterFrame>(&frame.value()))
    PACELINE_CHECK(letter->letter.bytes <= sizeof letter->letter.payload,
                   "a letter beyond its own");
  if (const auto* welcome = std::get_if<Welcome>(&frame.value()))
    PACELINE_CHECK(welcome->segment_bytes <= welcome->segment.size(), "a name beyond its frame");
  return true;
}

/// Of a kind: its head, then `body`, cut or filled with zeros to its length.
/// @pre there is such a kind
inline std::vector<std::byte> frame_of(FrameKind kind, std::span<const std::byte> body) {
  FrameHead head;
  head.kind = kind;
  head.bytes = static_cast<std::uint16_t>(frame_bytes(kind));
  std::vector<std::byte> frame(head.bytes);
  std::memcpy(frame.data(), &head, sizeof head);
  const auto part = body.first(std::min(body.size(), frame.size() - sizeof head));
  if (!part.empty()) std::memcpy(&frame[sizeof head], part.data(), part.size());
  return frame;
}

inline bool check_body(FrameKind kind, std::span<const std::byte> body) {
  return check_frame(frame_of(kind, body));
}

}  // namespace paceline
