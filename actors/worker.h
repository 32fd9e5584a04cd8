// A worker: a scheduled front actor and a detached engine actor. The front takes messages and never
// blocks; the engine owns the device and runs the protocol's worker role on its own thread, one
// gradient after another.
//   WK-1 The front never runs protocol code; it only fills the engine's inbox and wakes it.
//   WK-2 A role that waits is parked: the engine's thread waits in its place and resumes it. Ending
//        it is destroying the parked frame.
//   WK-3 The end of an engine, however it comes, is told to the group's leader, the global leader
//        and the run; the front lives on until the run ends and answers what still comes with Gone.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>

#include "paceline/actors/actor_host.h"
#include "paceline/actors/gradient_engine.h"
#include "paceline/actors/inbox.h"
#include "paceline/actors/metered_math.h"
#include "paceline/actors/task.h"

namespace paceline {

class WorkerHost final : public ActorHost {
 public:
  WorkerHost(RunContext& context, Rank rank);

  // The port's side, on the engine's thread.
  bool start(GradientOp& op) override;
  bool start(ReceiveOp& op) override;
  bool start(PinOp& op) override;
  bool take(const Wanted& wanted, Packet& out) override;
  bool running() override;
  void pull(const Pull& pull) override;
  void update(std::span<const Pull> pulls) override;
  const VectorMath& coordination_math() const override { return metered_math_; }
  void write_buffers(std::span<std::byte> to) override;

  // The front's side, from any thread.
  /// @return false after the engine's end: the packet is the front's to send back
  bool deliver(const Packet& packet);
  void begin();
  void wake();
  void fetched(std::uint64_t ticket);

  /// The engine's thread: builds the network, says so to `run`, waits for begin(), and lives the
  /// role to its end.
  /// @return how it ended
  EngineEnded live(const caf::actor& run);
  /// After live(): what nobody took.
  Inbox close();

  // After live() has returned.
  double coordination_seconds() const { return coordination_cpu_ + blocked_; }
  double train_seconds() const { return train_seconds_; }

 private:
  Result<> build();
  void live_role();
  void wait_for_message(ReceiveOp& op);
  void wait_for_pin(PinOp& op);
  void report_progress(double loss);

  std::unique_ptr<GradientEngine> engine_;
  Task<> role_;
  ReceiveOp* receiving_ = nullptr;  // at most one of the two: what the role waits for
  PinOp* pinning_ = nullptr;
  bool claimed_ = false;  // a step that no gradient has used yet
  double coordination_cpu_ = 0, blocked_ = 0, train_seconds_ = 0;
  MeteredMath metered_math_;  // adds to coordination_cpu_
  double reported_at_ = 0;
  std::uint64_t reported_steps_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  Inbox inbox_;
  bool begun_ = false, closed_ = false;
  std::uint64_t fetched_ = 0;  // ticket of the courier's last answer
};

/// Spawns a worker's two actors. @param host  outlives them; @param run  gets EngineReady and
/// EngineEnded
RoleActor spawn_worker(caf::actor_system& system, WorkerHost* host, RunContext* context,
                       const caf::actor& run);

}  // namespace paceline
