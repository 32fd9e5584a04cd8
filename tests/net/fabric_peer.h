// What a fabric_peer process hosts.
#pragma once

#include "paceline/net/arena.h"

namespace paceline {

inline ArenaOptions fabric_peer_shapes() {
  ArenaOptions options;
  options.slots = {{192 << 10}, {4 << 20}};
  options.mailboxes = {{64}};
  return options;
}

}  // namespace paceline
