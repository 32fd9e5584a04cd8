// The workers of a run: seats them, watches over them, and tells the protocol's leaders who has
// gone. Threading: one thread, the run's.
//   CR-1 A seat has a front actor for as long as the run lasts, whoever sits in it.
//   CR-2 The leader of its group and the global leader hear of a worker's end as Gone, after all that
//        it sent.
#pragma once

#include <cstddef>
#include <deque>

#include "paceline/actors/run_context.h"
#include "paceline/actors/worker.h"

namespace paceline {

class Crew {
 public:
  /// @param run  the run's own actor: what it gets of EngineReady and EngineEnded comes in here
  Crew(caf::actor_system& system, RunContext& context, caf::actor run)
      : system_(system), context_(context), run_(std::move(run)) {}

  /// Spawns every seat's front into the directory, and its rider, who builds its engine and says
  /// EngineReady.
  void seat_all();
  void ended(const EngineEnded& end);
  /// Asks everyone to look at the budget, which was stopped.
  void stop();
  /// Workers that have not ended.
  std::size_t riding() const { return riding_; }
  /// Whether every worker has ended before its time.
  bool lost() const { return crashed_ == workers_.size(); }

 private:
  void tell_leaders(Rank rank, bool crashed);

  caf::actor_system& system_;
  RunContext& context_;
  const caf::actor run_;
  std::deque<WorkerHost> workers_;
  std::size_t riding_ = 0, crashed_ = 0;
};

}  // namespace paceline
