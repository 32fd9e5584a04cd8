// What travels between roles: a small, trivially copyable envelope. Runtimes see its header and
// never the type inside. Floats inside are bytes to every serialiser.
//   PK-1 At most 192 bytes in all.
//   PK-2 Kind 0 of every protocol is Gone, kind 31 Joined: news of the runtime, which belong to no
//        round and never come back to whoever they are about.
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
  std::uint8_t kind = 0;         ///< 1 + the position in the protocol's variant of messages, or news
  std::uint8_t bytes = 0;        ///< of the payload
  alignas(8) std::byte payload[104] = {};

  bool news() const;
};
static_assert(std::is_trivially_copyable_v<Packet> && sizeof(Packet) == 128);

/// A role that ended, or that a message did not find any more.
struct Gone {
  std::uint32_t index;  ///< its Address
  bool crashed;         ///< false: it had done its work
  bool returns;         ///< another will take its place: Joined follows, or a Gone that denies it
};
/// Another has taken the place of a worker that crashed, or is added to the run.
struct Joined {
  std::uint32_t index;  ///< its Address
};
inline constexpr std::uint8_t kGone = 0, kJoined = 31;

inline bool Packet::news() const { return kind == kGone || kind == kJoined; }

template <class News>
Packet news_packet(std::uint8_t kind, const News& news) {
  Packet packet;
  packet.from = news.index;
  packet.kind = kind;
  packet.bytes = sizeof news;
  std::memcpy(packet.payload, &news, sizeof news);
  return packet;
}
inline Packet gone_packet(Address who, bool crashed, bool returns = false) {
  return news_packet(kGone, Gone{who.index, crashed, returns});
}
inline Packet joined_packet(Address who) { return news_packet(kJoined, Joined{who.index}); }

/// Which packets a role wants now.
struct Wanted {
  std::uint32_t kinds = ~0u;  ///< bit k: kind k
  std::uint64_t round = 0;    ///< of these kinds, what belongs to an older round is dropped
  bool admits(const Packet& p) const { return kinds >> p.kind & 1 && !late(p); }
  bool late(const Packet& p) const { return kinds >> p.kind & 1 && !p.news() && p.round < round; }
};

}  // namespace paceline
