// A run while it goes on, behind run(): one Ride leads it from the first actor to the last line of
// summary.json. Threading: one thread, run()'s caller.
#pragma once

#include <deque>
#include <optional>

#include "paceline/actors/checkpointer.h"
#include "paceline/actors/crew.h"
#include "paceline/actors/crew_desk.h"
#include "paceline/actors/evaluator.h"
#include "paceline/actors/node_arena.h"
#include "paceline/actors/node_post.h"
#include "paceline/actors/other_groups.h"
#include "paceline/actors/run.h"
#include "paceline/actors/run_context.h"
#include "paceline/actors/service.h"
#include "paceline/actors/slot_watch.h"
#include "paceline/actors/worker_processes.h"

namespace paceline {

class Ride {
 public:
  Ride(caf::actor_system& system, RunContext& context, NodeArena& node, RunControl& control,
       const std::function<void(const Progress&)>& progress, const FabricChoice& fabric)
      : context_(context),
        node_(node),
        options_(context.options),
        control_(control),
        progress_(progress),
        read_before_(context.data.reading()),
        system_(system),
        self_(system),
        post_(context, node, me()),
        processes_(context, node, post_.to_self()),
        crew_(system, context, me(),
              options_.isolation == Isolation::process ? &processes_ : nullptr),
        slots_(context) {
    summary_.fabric = fabric;
  }

  Result<RunSummary> go() {
    Result<> all = success();
    try {
      all = ride();
    } catch (const std::exception& error) {  // no thread, no memory, or the progress callback's own
      all =
          fail(std::errc::resource_unavailable_try_again, "the run cannot go on: {}", error.what());
    }
    wind_up();
    PACELINE_TRYV(all);
    return summary_;
  }

 private:
  caf::actor me() { return caf::actor_cast<caf::actor>(self_); }
  void listen();
  void stand_still();
  Result<> ride();
  Result<> spawn();
  Result<> await_engines();
  Result<> prepare_evaluator();
  void train();
  void drain();
  Result<> finish(double started);
  void count_up();
  bool data_usable();
  void finish_course(Address best);
  Result<> name_skipped() const;
  void wind_up();

  bool all_lost() const { return crew_.lost() && (!groups_ || groups_->all_lost()); }
  void stop(const char* why);
  void end_training();
  void tell_of_resume();
  void save_last();
  void look_around();
  bool shown();
  void assess(Assess::What what, Address of);
  template <class Actor>
  void end(const Actor& actor);
  void assessed(const Assessed& result);
  void await_assessment();
  Result<> flush();
  void report(const char* phase);

  RunContext& context_;
  const NodeArena& node_;
  const RunOptions& options_;
  RunControl& control_;
  const std::function<void(const Progress&)>& progress_;
  const Reading read_before_;  // the data may have served another run
  caf::actor_system& system_;
  caf::scoped_actor self_;
  NodePost post_;
  WorkerProcesses processes_;
  Crew crew_;
  SlotWatch slots_;
  std::unique_ptr<OtherGroups> groups_;  // null: all groups are here
  std::optional<CrewDesk> desk_;         // while the run may be asked for other workers
  std::deque<ServiceHost> services_;
  EvaluatorActor evaluator_;
  CheckpointerActor checkpointer_;
  bool assessing_ = false;
  bool asked_to_show_ = false;  // workers, for the evaluation that is due
  double assessed_at_ = 0;      // training seconds, when the last evaluation was asked for
  std::optional<Assessed> last_leader_, last_mean_;
  Error failure_;  // of writing or evaluating
  RunSummary summary_;
};

}  // namespace paceline
