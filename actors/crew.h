// The workers of a run: seats them, watches over them, and tells the protocol's leaders who has
// gone. Threading: one thread, the run's.
//   CR-1 A seat has a front actor for as long as the run lasts, whoever sits in it.
//   CR-2 The leader of its group and the global leader hear of a worker's end as Gone, after all that
//        it sent.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "paceline/actors/run_context.h"
#include "paceline/actors/worker.h"
#include "paceline/actors/worker_processes.h"

namespace paceline {

class Crew {
 public:
  /// @param run  the run's own actor: what it gets of EngineReady and EngineEnded comes in here
  /// @param processes  starts the workers; null: they are threads
  Crew(caf::actor_system& system, RunContext& context, caf::actor run, WorkerProcesses* processes)
      : system_(system), context_(context), run_(std::move(run)), processes_(processes) {}

  /// Spawns every seat's front into the directory, and the riders, who build their engines and say
  /// EngineReady. Processes start when the first has its engine: it may have timed algorithms that
  /// the others then find chosen.
  Result<> seat_all();
  void ready(const EngineReady& ready);
  /// Why a worker could not begin; the first.
  const Error& failure() const { return failure_; }
  /// Whether everyone has been ready.
  bool all_ready() const { return ready_ == seats_.size(); }
  /// A rider's end, as its front tells it.
  void ended(const EngineEnded& end);
  /// What a process has to say of its end, and that end.
  void last_word(const EngineEnded& end) { seats_[end.rank].last_word = end; }
  void process_ended(Rank rank);
  /// Between messages: is everyone alive?
  void look_around();
  /// Asks everyone to look at the budget, which was stopped.
  void stop();
  /// Workers that have not ended.
  std::size_t riding() const { return riding_; }
  /// Whether every worker has ended before its time.
  bool lost() const { return crashed_ == seats_.size(); }

 private:
  struct Seat {
    std::unique_ptr<WorkerHost> host;      // of a thread
    std::optional<EngineEnded> last_word;  // of a process
    bool ready = false;
  };
  Result<> seat(Rank rank);
  void tell_leaders(Rank rank, bool crashed);
  void record(Rank rank, std::string fault);

  caf::actor_system& system_;
  RunContext& context_;
  const caf::actor run_;
  WorkerProcesses* const processes_;
  std::vector<Seat> seats_;
  std::size_t riding_ = 0, crashed_ = 0, ready_ = 0;
  Error failure_;
  double stopped_at_ = 0;  // wall_seconds(); 0: not yet
};

}  // namespace paceline
