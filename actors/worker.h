// A worker: a scheduled front actor and a detached engine actor. The front takes messages and never
// blocks; the engine owns the device and runs the protocol's worker role on its own thread, one
// gradient after another.
//   WK-1 The front never runs protocol code; it only fills the engine's inbox and wakes it.
//   WK-2 A role that waits is parked: the engine's thread waits in its place and resumes it. Ending
//        it is destroying the parked frame.
//   WK-3 The end of an engine, however it comes, is told to the run, which tells the group's leader
//        and the global leader; the front lives on until the run ends. What comes while nobody sits
//        there is lost.
//   WK-4 Who is not the first in its seat begins with the newest parameters of who leads, no momentum,
//        and batches that nobody here has seen in this order.
//   WK-5 Nothing that is not finite leaves a worker: it begins again where the leader is.
//   WK-6 Who has waited for the run's beginning as long as three engines may take to be built (the
//        first worker's, the others', the evaluator's) says what is missing, and ends.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

#include "paceline/actors/actor_host.h"
#include "paceline/actors/gradient_engine.h"
#include "paceline/actors/inbox.h"
#include "paceline/actors/metered_math.h"
#include "paceline/actors/rider.h"
#include "paceline/actors/task.h"

namespace paceline {

class WorkerHost final : public ActorHost, public Rider {
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
  std::unique_ptr<PendingCopy> begin_buffers(std::span<std::byte> to) override;

  // The front's side, from any thread.
  void deliver(const Packet& packet) override;
  void begin() override;
  void wake() override;
  void fetched(std::uint64_t ticket) override;
  void close() override;

  /// The engine's thread: builds the network, says so to `run`, waits for begin(), and lives the
  /// role to its end.
  /// @return how it ended
  EngineEnded live(const caf::actor& run);

 private:
  bool begin_again(std::string_view what) override;
  Result<> build();
  Pin leaders();
  std::string take_leaders(const StreamState& stream);
  void note_step_time(double seconds);
  /// @return false when the run has neither begun nor ended in time
  bool wait_for_begin();
  void live_role();
  void restore();
  std::uint64_t boundary() const;
  void answer_checkpoint();
  void show_parameters();
  bool save(std::uint64_t request);
  void wait_for_message(ReceiveOp& op);
  void wait_for_pin(PinOp& op);
  void report_progress(double loss);
  void write_figures();

  std::unique_ptr<GradientEngine> engine_;
  Task<> role_;
  ReceiveOp* receiving_ = nullptr;  // at most one of the two: what the role waits for
  PinOp* pinning_ = nullptr;
  std::uint64_t boundary_steps_ = 0;  // steps() at the last boundary
  std::uint64_t saved_ = 0;           // the last request that it answered
  SeatWords& seat_;
  StepTimes step_times_;
  std::uint64_t began_again_at_ = 0;  // steps()
  int began_again_in_a_row_ = 0;
  double coordination_ = 0;   // seconds of CPU and of waiting that the seat does not have yet
  MeteredMath metered_math_;  // adds to coordination_
  double begun_at_ = 0;       // context_.now() up to which the seat has the training time
  std::map<std::string, std::uint64_t, std::less<>> counted_;  // what the seat has of counts()
  double reported_at_ = 0;
  std::uint64_t reported_steps_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  Inbox inbox_;
  bool begun_ = false;
  std::uint64_t fetched_ = 0;  // ticket of the courier's last answer
};

/// Spawns the front of a seat, empty at first. @param run  gets EngineEnded
RoleActor spawn_front(caf::actor_system& system, const caf::actor& run);
/// Spawns an engine. @param host  outlives it and sits, or will sit, in the front's seat
/// @param run  gets EngineReady
void spawn_engine(caf::actor_system& system, WorkerHost* host, const RoleActor& front,
                  const caf::actor& run);

}  // namespace paceline
