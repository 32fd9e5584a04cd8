// A slot_peer process under a test's hand.
#pragma once

#include <string>

#include "net/peer.h"

namespace paceline {

struct SlotPeer : Peer {
  SlotPeer(const std::string& mode, const std::string& argument)
      : Peer({PACELINE_SLOT_PEER, mode, argument}) {}
};

}  // namespace paceline
