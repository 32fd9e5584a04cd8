// What the processes of a node share beside the slots: the run's words and a mailbox for each
// process. Threading: create and attach from one thread; the rest from any.
//   NA-1 Mailbox and sender 0 are the node's process, 1 + r the worker of rank r. Two mailboxes more
//        are between a visitor, a process that is no part of the run, and the node: a visitor that
//        dies while it writes stops nobody but other visitors.
#pragma once

#include <cstdint>
#include <string>

#include "paceline/actors/place.h"
#include "paceline/actors/run_words.h"
#include "paceline/net/arena.h"

namespace paceline {

class NodeArena {
 public:
  /// @param planned_steps  of the run's budget
  static Result<NodeArena> create(const Place& place, std::uint64_t layout_hash,
                                  std::uint64_t planned_steps);
  /// @param segment  another process's segment()
  static Result<NodeArena> attach(const std::string& segment, const Place& place,
                                  std::uint64_t layout_hash);

  RunWords& words() const { return RunWords::at(arena_.board()); }
  const std::string& segment() const { return arena_.segment(); }
  /// What the run's other arenas are named after: a process may host several runs.
  const std::string& name() const { return name_; }
  /// A visitor's: it does not know how many seats there are.
  static Result<NodeArena> visit(const std::string& segment, std::uint64_t layout_hash);
  /// The segment of the same process and run that ends with `suffix` in the place of "node".
  std::string sibling(std::string_view suffix) const;

  Mailbox mailbox() const { return arena_.mailbox(0); }
  Mailbox mailbox(Rank worker) const { return arena_.mailbox(1 + worker); }
  Mailbox questions() const { return arena_.mailbox(arena_.mailboxes() - 2); }  ///< of visitors
  Mailbox answers() const { return arena_.mailbox(arena_.mailboxes() - 1); }    ///< to visitors
  static SenderId sender() { return 0; }
  static SenderId sender(Rank worker) { return 1 + worker; }
  static SenderId visitor() { return kMostSenders - 1; }
  /// After the end of a worker's process, and before the next one's start.
  void clear_claims(Rank worker) { arena_.clear_claims(sender(worker)); }
  /// What a visitor before, which has ended, has left behind.
  void clear_visitors_claims() { arena_.clear_claims(visitor()); }

 private:
  explicit NodeArena(Arena arena, std::string name)
      : arena_(std::move(arena)), name_(std::move(name)) {}
  Arena arena_;
  std::string name_;
};

}  // namespace paceline
