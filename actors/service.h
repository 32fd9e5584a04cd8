// A local leader, a global leader, or a centre: one actor whose handlers resume the protocol's
// role. Scheduled, unless the role touches whole vectors: then detached, so that no scheduler
// thread ever waits for memory.
//   SV-1 The role runs inside its actor's handlers and nowhere else, so it needs no lock.
//   SV-2 After the role's end, what still comes for it goes back as Gone.
//   SV-3 A timer is asked for only when none fires early enough already: waits far outnumber
//        time-outs.
#pragma once

#include <caf/actor_clock.hpp>

#include "paceline/actors/actor_host.h"
#include "paceline/actors/inbox.h"
#include "paceline/actors/task.h"

namespace paceline {

class ServiceHost : public ActorHost {
 public:
  ServiceHost(RunContext& context, Address self) : ActorHost(context, self) {}

  // The port's side.
  bool start(GradientOp& op) override;
  bool start(ReceiveOp& op) override;
  bool start(PinOp& op) override;
  bool take(const Wanted& wanted, Packet& out) override { return inbox_.take(wanted, out); }
  bool running() override { return !context_.budget.stopped(); }

  // The actor's side, inside its handlers.
  void begin(RoleActor::pointer actor);
  void deliver(const Packet& packet);
  void tick();
  void fetched(std::uint64_t ticket);
  std::uint64_t handled() const { return handled_; }  ///< packets and answers so far
  /// Nothing goes on in the role but waiting for messages.
  bool settled() const { return ended_ || (receiving_ && receiving_->wanted.kinds != 0); }
  /// Puts a centre's state into its slot. @return false when its role is in the middle of something
  bool save();
  /// A worker's state answers a request, and what it had sent this role is here: says so to all.
  void saved(const Saved& saved);
  /// Destroys the parked role, and its pins with it. After the actor's end.
  void clear() { role_ = {}; }

 private:
  using Clock = caf::actor_clock;  // of the system: virtual under CAF's deterministic scheduler
  /// The time for which the run was suspended, so far.
  caf::timespan suspended() const;
  Clock::time_point run_time() const { return actor_->clock().now() - suspended(); }
  void restore();
  void wait_until(Clock::time_point deadline);
  void resume(std::coroutine_handle<> parked);
  void end();
  void send_back(const Packet& packet);

  RoleActor::pointer actor_ = nullptr;
  Task<> role_;
  Inbox inbox_;
  ReceiveOp* receiving_ = nullptr;  // at most one of the two: what the role waits for
  PinOp* pinning_ = nullptr;
  Clock::time_point deadline_{};  // as run_time() counts: a suspension makes nobody late
  Clock::time_point armed_for_ = Clock::time_point::max();  // the next Tick that was asked for
  bool ended_ = false;
  std::uint64_t handled_ = 0;
};

/// @param host  outlives the actor
RoleActor spawn_service(caf::actor_system& system, ServiceHost* host, Placement placement);

}  // namespace paceline
