// A mailbox_peer process under a test's hand.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "net/peer.h"

namespace paceline {

struct MailboxPeer : Peer {
  explicit MailboxPeer(std::vector<std::string> arguments)
      : Peer(with_program(std::move(arguments))) {}

 private:
  static std::vector<std::string> with_program(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), PACELINE_MAILBOX_PEER);
    return arguments;
  }
};

}  // namespace paceline
