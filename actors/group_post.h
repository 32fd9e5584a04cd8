// What a group's process exchanges with those of the other groups: proxies for their roles, a postman
// for their letters, reads of their slots, and what each tells the others of its seats. The same in the
// run's process, which hosts group 0, and in the others.
// Threading: made, started, told to speak and ended by one thread, the run's; the postman has its own.
//   GP-1 What a process says of its seats (steps, versions, step times) is for progress, patience and
//        staleness: no order of events depends on when it comes.
//   GP-2 A letter for a role that is not here, or from none of the run, is dropped and named in the log.
#pragma once

#include <atomic>
#include <map>
#include <string>

#include "paceline/actors/group_links.h"
#include "paceline/actors/run_context.h"

namespace paceline {

/// How many there were of what is counted by name, by a group so far.
struct Counted {
  char name[24] = {};  ///< ends with 0
  std::uint64_t n = 0;
};
/// The answer to group_drain.
struct Drained {
  std::uint64_t time = 0;     ///< as was asked
  std::uint64_t handled = 0;  ///< messages so far
  bool settled = false;       ///< nobody does anything but wait for more
};

class GroupPost {
 public:
  using Counts = std::map<std::string, std::uint64_t>;

  /// @param context  with arenas; outlives this. @param run  gets FromGroup, GroupLost, Trouble, Skipped
  static Result<std::unique_ptr<GroupPost>> open(RunContext& context, const FabricChoice& fabric,
                                                 const FabricToken& token, caf::actor run);
  ~GroupPost() { end(); }

  GroupLinks& links() { return *links_; }
  std::uint32_t group() const { return *context_.only; }
  Address me() const { return context_.place.leader(group()); }  ///< as letters name this process
  /// Puts proxies of all other groups' roles into the directory, and reads letters from then on.
  void start(caf::actor_system& system);
  /// Tells all others what the seats here have done.
  void tell_figures();
  /// Tells group 0 what has been counted here.
  void tell_counts(const Counts& counts);
  /// Has the clocks of the others stand still, as this one's does; waits until all say so, at most a
  /// moment: their processes may be stopped then, and no deadline passes when they go on.
  void have_others_stand_still();
  void have_others_go_on();
  /// To all other groups.
  void send_all(const Letter& letter);
  void send(std::uint32_t group, const Letter& letter) { links_->out(group).send(letter); }
  void send_text(std::uint32_t group, LetterKind kind, const Error& error);
  /// Reads no more letters. What the others read here they read until links().end().
  void end();

 private:
  GroupPost(RunContext& context, caf::actor run);
  Result<Arrival> read(SlotRef ref, std::uint32_t slot, Loan loan, bool for_group);
  void deliver(const Letter& letter);
  bool sound(const Letter& letter) const;
  template <class T>
  bool heard(const Letter& letter, T& body) const;
  void note(const Letter& letter);

  RunContext& context_;
  const Mailbox mailbox_;
  const caf::actor run_;
  std::unique_ptr<GroupLinks> links_;
  TextReader texts_;                        // the postman's
  std::atomic<std::uint32_t> standing_{0};  // others, whose clocks stand still
  PostmanStop stop_;
  caf::actor postman_;
  std::optional<caf::scoped_actor> waiter_;
};

}  // namespace paceline
