// The fabric between arenas of one host and user: for groups that are processes of one machine. See
// fabric.h for what it guarantees. Slots are copied from the other arena, letters put into its
// mailboxes, by the process that asks; a local socket carries the handshake, acknowledgements and
// signs of life. Reads therefore need nothing of the peer's process but its arena: they go on while
// it is stopped, until it is lost.
//   SM-1 Pins and claims that a peer's process leaves behind in the arena are cleared when it has
//        ended, not before.
#pragma once

#include <memory>

#include "paceline/net/fabric.h"

namespace paceline {

class SharedMemoryFabric {
 public:
  /// @param arena    not a local one; outlives the fabric
  /// @param options  listen: "@name"; empty: one that nobody else has
  static Result<std::unique_ptr<Fabric>> open(Arena& arena, FabricOptions options);
};

}  // namespace paceline
