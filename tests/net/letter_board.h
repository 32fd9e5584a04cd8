// The board of the arenas in which mailboxes are tested between processes.
#pragma once

#include <atomic>
#include <cstdint>

#include "paceline/net/arena.h"

namespace paceline {

struct Board {
  std::atomic<std::uint64_t> stop = 0;      ///< senders, come to an end
  std::atomic<std::uint64_t> received = 0;  ///< the number after the last letter's
  std::atomic<std::uint64_t> deaths = 0;    ///< of receivers, since then
};

inline Board& board_of(const Arena& arena) {
  return *reinterpret_cast<Board*>(arena.board().data());
}

}  // namespace paceline
