// What travels between roles: a small, trivially copyable envelope. Runtimes see its header and
// never the type inside. Floats inside are bytes to every serialiser.
//   PK-1 At most 192 bytes in all. Kind 0 of every protocol is Gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "paceline/actors/place.h"

namespace paceline {

struct Packet {
  std::uint64_t round = 0;       ///< the coordination event that it belongs to; 0: to none
  std::uint32_t from = kNobody;  ///< the sender's Address
  std::uint32_t epoch = 0;       ///< of the sender's leadership; grows with each failover
  std::uint8_t kind = 0;         ///< 1 + the position in the protocol's variant of messages
  std::uint8_t bytes = 0;        ///< of the payload
  alignas(8) std::byte payload[104] = {};
};
static_assert(std::is_trivially_copyable_v<Packet> && sizeof(Packet) == 128);

/// A role that ended, or that a message did not find any more.
struct Gone {
  std::uint32_t index;  ///< its Address
  bool crashed;         ///< false: it had done its work
};

inline Packet gone_packet(Address who, bool crashed) {
  Packet packet;
  const Gone gone{who.index, crashed};
  packet.from = who.index;
  packet.bytes = sizeof gone;
  std::memcpy(packet.payload, &gone, sizeof gone);
  return packet;
}

/// Which packets a role wants now.
struct Wanted {
  std::uint32_t kinds = ~0u;  ///< bit k: kind k
  std::uint64_t round = 0;    ///< of these kinds, what belongs to an older round is dropped
  bool admits(const Packet& p) const { return kinds >> p.kind & 1 && !late(p); }
  bool late(const Packet& p) const { return kinds >> p.kind & 1 && p.kind && p.round < round; }
};

}  // namespace paceline
