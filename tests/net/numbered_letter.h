// Letters that tell whose they are and which, in every byte, so that a torn one, a lost one and one
// out of order show.
#pragma once

#include <cstdint>

#include "net/hunt.h"
#include "paceline/net/mailbox.h"

namespace paceline {

/// @param life    tells processes that bore the same number apart
/// @param number  of this sender's letters in this life, from 0
inline Letter numbered_letter(SenderId sender, std::uint32_t life, std::uint32_t number) {
  Letter letter;
  letter.from = sender;
  letter.to = life;
  letter.part = number;
  letter.kind = static_cast<std::uint16_t>(sender + number);
  letter.bytes = sizeof letter.payload;
  fill_with_version(letter.payload,
                    std::uint64_t{sender} << 48 | std::uint64_t{life} << 32 | number);
  return letter;
}

/// Whether every byte is as numbered_letter() wrote it.
inline bool is_whole(const Letter& letter) {
  return letter.kind == static_cast<std::uint16_t>(letter.from + letter.part) &&
         letter.bytes == sizeof letter.payload &&
         holds_version(letter.payload, std::uint64_t{letter.from} << 48 |
                                           std::uint64_t{letter.to} << 32 | letter.part);
}

}  // namespace paceline
