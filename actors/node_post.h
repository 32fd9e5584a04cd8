// The post of a node's process: what its workers' processes write becomes messages to its actors.
// Threading: made, started and ended by one thread; the postman has its own.
#pragma once

#include "paceline/actors/node_arena.h"
#include "paceline/actors/post.h"
#include "paceline/actors/run_context.h"

namespace paceline {

class NodePost {
 public:
  /// @param context, node  outlive this; @param run  gets EngineReady, LastWord, ProcessEnded,
  /// Trouble and Skipped
  NodePost(const RunContext& context, const NodeArena& node, caf::actor run);
  ~NodePost() { end(); }

  /// From now on letters are delivered: the directory is complete.
  /// @param flush  sends what waits for room in other processes' mailboxes, and says whether some
  /// still waits; called by the postman
  void start(caf::actor_system& system, Rounds flush);
  void end();
  /// Leads into the node's own mailbox.
  Outbox& to_self() { return to_self_; }

 private:
  void deliver(const Letter& letter);

  const RunContext& context_;
  const Mailbox mailbox_;
  const caf::actor run_;
  MailboxOutbox to_self_;
  TextReader texts_;  // the postman's
  PostmanStop stop_;
  caf::actor postman_;
  std::optional<caf::scoped_actor> waiter_;
};

}  // namespace paceline
