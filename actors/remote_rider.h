// A worker that is a process of its own, as its front here sees it: what the front hears becomes
// letters in the worker's mailbox. Threading: the front's handlers, and the node's postman for
// flush(); close() only after the process's end.
#pragma once

#include "paceline/actors/node_arena.h"
#include "paceline/actors/post.h"
#include "paceline/actors/rider.h"

namespace paceline {

class RemoteRider final : public Rider {
 public:
  /// @param node  outlives the rider
  RemoteRider(const NodeArena& node, Rank rank)
      : rank_{rank}, mailbox_(node.mailbox(rank)), out_(mailbox_, NodeArena::sender()) {}

  void deliver(const Packet& packet) override {
    out_.send(letter(LetterKind::packet, rank_, {packet.from}, packet));
  }
  void begin() override { out_.send(letter(LetterKind::begin, rank_, {})); }
  void wake() override { out_.send(letter(LetterKind::stop, rank_, {})); }
  void fetched(std::uint64_t ticket) override {
    out_.send(letter(LetterKind::fetched, rank_, {}, ticket));
  }
  /// Empties the mailbox for whoever sits here next.
  void close() override;
  /// Sends what waits for room. @return whether all of it is sent
  bool flush() { return out_.flush(); }

 private:
  const Address rank_;
  const Mailbox mailbox_;
  MailboxOutbox out_;
};

}  // namespace paceline
