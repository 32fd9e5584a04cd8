// The groups of a run that are processes of their own, as the run's process sees them: it starts them,
// has them begin, stop and end, and does without who is lost. Threading: one thread, the run's.
//   OG-1 A group's process that ends before its time, or is not reached any more, is one fault that says
//        how it ended; before the run has begun it is the run's failure. It is not started again.
//   OG-2 What the leaders of others have to know of a lost group its heir tells them: the protocol's role
//        of its leader, lived here by who hears first of all that its workers have crashed.
//   OG-3 No group's process outlives the run's, however that ends.
#pragma once

#include <csignal>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "paceline/actors/group_post.h"
#include "paceline/actors/service.h"
#include "paceline/net/child_process.h"

namespace paceline {

class OtherGroups {
 public:
  /// @param context  with arenas; outlives this. @param run  what comes to it comes in here
  static Result<std::unique_ptr<OtherGroups>> open(caf::actor_system& system, RunContext& context,
                                                   const FabricChoice& fabric, caf::actor run);
  ~OtherGroups();

  /// Before any other actor of the run: proxies, and the postman.
  void start() { post_->start(system_); }
  /// Starts the processes, once.
  Result<> start_processes();
  void heard(const Letter& letter);
  void lost(const GroupLost& lost);
  /// Between messages: is everyone there? Tells the others how this group comes on.
  void look_around();

  bool all_ready() const { return count(State::ready) == groups_.size() - 1; }
  /// Why a group cannot begin; the first.
  const Error& failure() const { return failure_; }
  void begin();
  void stop() { post_->send_all(letter(LetterKind::group_stop, {}, post_->me())); }
  /// Groups that have begun and neither finished nor been lost.
  std::size_t riding() const { return count(State::riding); }
  /// Whether every other group has been lost, or has lost all its workers.
  bool all_lost() const;
  /// Asks all to say how far they are (Drained).
  void ask_to_drain();
  /// @return nothing while somebody has not answered; else all together
  std::optional<Drained> drained() const;
  /// The run was suspended: everyone's process, and so its clock.
  void stand_still();
  void go_on();
  /// Ends all, in order where they still can. Who still reads from them is told an error; this object
  /// outlives them.
  void end();
  const std::string& address() const { return post_->links().address(); }
  /// Of all groups, by name.
  GroupPost::Counts counts() const;

 private:
  enum class State : std::uint8_t { none, starting, ready, riding, finished, lost };
  struct Group {
    State state = State::none;
    ChildProcess child;
    std::string address;
    std::optional<Drained> drained;
    GroupPost::Counts counts;
    bool workers_lost = false;
    double started = 0;
    double missed = 0;  // wall_seconds() when its loss was noticed; 0: not
    Error why;
  };
  OtherGroups(caf::actor_system& system, RunContext& context, const FabricChoice& fabric);
  std::size_t count(State state) const;
  void greet(std::uint32_t group, const std::string& address);
  void settle_loss(std::uint32_t group);
  void leave_to_heir(std::uint32_t group);
  void fail_with(Error error);

  caf::actor_system& system_;
  RunContext& context_;
  const FabricChoice fabric_;
  const FabricToken token_ = FabricToken::random();
  std::unique_ptr<GroupPost> post_;
  TextReader texts_;
  std::vector<Group> groups_;  // [0] is this process
  std::deque<ServiceHost> heirs_;
  std::vector<RoleActor> heir_actors_;
  std::uint64_t drains_ = 0;
  double told_at_ = 0;
  bool ended_ = false;
  Error failure_;
};

}  // namespace paceline
