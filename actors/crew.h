// The workers of a run: seats them, watches over them, and tells the protocol's leaders who has
// gone. Threading: one thread, the run's.
//   CR-1 A seat has a front actor for as long as the run lasts, whoever sits in it, if anybody does.
//   CR-2 The leader of its group and the global leader hear of a worker's end as Gone, after all that
//        it sent, and of who takes its place as Joined, before anything that it sends (RH-3, RH-4).
//   CR-3 A worker that ends before its time is replaced, after a pause that doubles each time, as
//        often as --restarts says and while there are steps for it to take. Who fails to begin has
//        ended before its time, too; but when the first of all fails, that is the run's failure.
//        So it is with an engine that is not built within --begin-within.
//   CR-4 Each of these events is one fault: the end with its cause, the replacement, the giving up,
//        the adding, the removing.
//   CR-5 Who is added begins as a replacement does, in a seat that is empty or was given up. Who is
//        removed ends at a step's boundary, as if it had crashed there: Gone, and nobody returns. Each
//        group keeps a worker: one without has no leader any more.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "paceline/actors/crew_choice.h"
#include "paceline/actors/crew_desk.h"
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

  /// Spawns every seat's front into the directory, of the seats that are in this process.
  void spawn_fronts();
  /// Spawns the first riders, who build their engines and say
  /// EngineReady. Processes start when the first has its engine: it may have timed algorithms that
  /// the others then find chosen.
  Result<> seat_all();
  void ready(const EngineReady& ready);
  /// How long the run may wait for messages before it looks around.
  std::chrono::milliseconds idle() const;
  /// Why a worker could not begin; the first.
  const Error& failure() const { return failure_; }
  /// Whether everyone has been ready.
  bool all_ready() const { return ready_ == first_.size(); }
  bool any_ready() const { return ready_ > 0; }
  /// A rider's end, as its front tells it.
  void ended(const EngineEnded& end);
  /// What a process has to say of its end, and that end.
  void last_word(const EngineEnded& end) { seats_[end.rank].last_word = end; }
  void process_ended(Rank rank);
  /// Between messages: is everyone alive, is it time for somebody to return?
  void look_around();
  /// Begins to add or to remove workers, all that were asked for or none; what came of it `desk` says
  /// later, when they ride or have ended.
  void change(const CrewQuestion& question, CrewDesk& desk);
  /// The run trains no more: answers who still waits for a change.
  void changes_end(CrewDesk& desk);
  std::uint64_t added() const { return added_; }      ///< workers, so far
  std::uint64_t removed() const { return removed_; }  ///< the same
  /// Asks everyone to look at the budget, which was stopped.
  void stop();
  /// Workers that have not ended for good.
  std::size_t riding() const { return count(State::riding) + count(State::awaited); }
  /// Whether every worker has ended before its time, for good.
  bool lost() const {
    return count(State::lost) > 0 &&
           count(State::lost) + count(State::empty) + count(State::elsewhere) == seats_.size();
  }

 private:
  enum class State : std::uint8_t {
    riding,    ///< or building its engine
    awaited,   ///< empty until `due`
    ended,     ///< for good, with nothing left to do
    lost,      ///< for good, before its time
    empty,     ///< nobody is to sit here, not yet or no more
    elsewhere  ///< in another process's group
  };
  struct Seat {
    State state = State::empty;
    bool first = false;                     // who sits here does since the run began
    bool known = false;                     // to the leaders, riding or awaited
    bool leaving = false;                   // is to end at its next boundary
    bool overdue = false;                   // has not built its engine in time, and that was said
    std::uint32_t sat = 0;                  // how many sat here; a seat that begins empty had one
    std::uint32_t restarts = 0;             // of who was seated first or added last
    double pause = kFirstPause;             // seconds, before the next one
    double due = 0, seated = 0, begun = 0;  // wall_seconds()
    std::unique_ptr<WorkerHost> host;       // of a thread
    std::optional<EngineEnded> last_word;   // of a process
    bool ready = false;
  };
  struct Change {
    CrewQuestion question;
    CrewDesk* desk;
    std::vector<Rank> ranks;
  };
  static constexpr double kFirstPause = 0.1, kLongestPause = 5, kLongLife = 60;  // seconds
  /// For which a process may show no life; less would take a busy machine for a dead worker.
  static constexpr double kLeastSilence = 5;

  std::size_t count(State state) const;
  /// Whether there are steps for who would sit here.
  bool needed(Rank rank) const;
  Result<> seat(Rank rank);
  void come(const EngineReady& ready);
  void await_next(Rank rank);
  /// Who builds its engine for too long.
  void look_for_overdue();
  /// Nobody comes any more.
  void leave_empty(Rank rank, State state);
  void leave_for_good(Rank rank);
  bool rides(Rank rank) const {
    return seats_[rank].state == State::riding || seats_[rank].state == State::awaited;
  }
  std::vector<SeatView> view() const;
  Result<> add(Rank rank);
  void remove(Rank rank);
  void settle_changes();
  /// What has come of it; nothing while somebody is on the way.
  std::optional<Result<std::string>> outcome(const Change& change) const;
  void tell_leaders(Rank rank, const Packet& news);
  void record(Rank rank, std::string fault);

  caf::actor_system& system_;
  RunContext& context_;
  const caf::actor run_;
  WorkerProcesses* const processes_;
  std::vector<Seat> seats_;
  std::vector<Rank> first_;      // who rides when the run begins
  std::vector<Change> changes_;  // under way
  std::uint64_t added_ = 0, removed_ = 0;
  std::size_t ready_ = 0;  // of the first in each seat
  Error failure_;
  double stopped_at_ = 0;  // by the run's clock; 0: not yet
};

}  // namespace paceline
