#include "paceline/actors/ride_internal.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <exception>
#include <filesystem>
#include <thread>

#include "paceline/actors/checkpoint.h"
#include "paceline/actors/courier.h"
#include "paceline/actors/metrics_file.h"
#include "paceline/actors/recorder.h"
#include "paceline/actors/resume.h"
#include "paceline/actors/run_figures.h"
#include "paceline/actors/summary.h"
#include "paceline/layers/atomic_file.h"
#include "paceline/layers/checksum.h"

namespace paceline {

using namespace std::chrono_literals;

Result<> Ride::ride() {
  const double started = wall_seconds();
  PACELINE_TRYV(spawn());
  auto ready = await_engines();
  if (ready && options_.evaluate == Evaluate::beside) ready = prepare_evaluator();
  if (!ready) {
    std::error_code ignored;  // the folder holds no run yet
    if (!options_.resume) std::filesystem::remove(options_.directory / "metrics.jsonl", ignored);
    return ready;
  }
  train();
  drain();
  return finish(started);
}

Result<> Ride::spawn() {
  const std::filesystem::path metrics = options_.directory / "metrics.jsonl";
  PACELINE_TRY(auto file,
               options_.resume ? MetricsFile::extend(metrics) : MetricsFile::create(metrics));
  context_.recorder = spawn_recorder(system_, std::move(file), &context_);
  PACELINE_TRY(CrewDesk desk,
               CrewDesk::open(node_, context_.network.layout().hash(), options_.directory));
  desk_.emplace(std::move(desk));
  evaluator_ = spawn_evaluator(system_, &context_, me());
  if (context_.only) {
    PACELINE_TRY(groups_, OtherGroups::open(system_, context_, summary_.fabric, me()));
    spdlog::info("groups reach each other over {} ({}); group 0 listens at {}",
                 word_of(summary_.fabric.kind), summary_.fabric.why, groups_->address());
  }
  context_.couriers.resize(context_.place.groups);
  for (std::uint32_t group = 0; group < context_.place.groups; ++group)
    if (!context_.only || group == *context_.only)
      context_.couriers[group] = spawn_courier(system_, &context_, group, Placement::detached);
  context_.directory.resize(context_.place.roles());
  for (std::uint32_t i = context_.place.seats(); i < context_.place.roles(); ++i) {
    const RoleKind& kind = context_.protocol->kind(context_.place.role({i}));
    if (kind && context_.hosts({i}))
      context_.directory[i] =
          spawn_service(system_, &services_.emplace_back(context_, Address{i}),
                        kind.whole_vectors ? Placement::detached : Placement::scheduled);
  }
  crew_.spawn_fronts();
  if (groups_) groups_->start();
  PACELINE_TRYV(crew_.seat_all());
  if (options_.isolation == Isolation::process)
    post_.start(system_, [this] { return processes_.flush(); });
  return success();
}

/// Waits for the next message, or a while.
void Ride::listen() {
  self_->receive(
      [&](const EngineReady& engine) { crew_.ready(engine); },
      [&](const EngineEnded& end) { crew_.ended(end); },
      [&](const LastWord& word) { crew_.last_word(word.end); },
      [&](const ProcessEnded& ended) { crew_.process_ended(ended.rank); },
      [&](const Trouble& trouble) {
        if (!failure_.code) failure_ = trouble.error;
        stop("error");
      },
      [&](const FromGroup& from) { groups_->heard(from.letter); },
      [&](const GroupLost& lost) { groups_->lost(lost); },
      [&](const Skipped& skipped) { summary_.skipped.emplace(skipped.name, skipped.reason); },
      [&](Halted) { end_training(); }, [&](const Assessed& result) { assessed(result); },
      caf::after(crew_.idle()) >> [] {});
  if (control_.suspending()) stand_still();
  crew_.look_around();
  if (groups_) groups_->look_around();
  slots_.look();
}

/// From suspend() to go_on(): this process is about to stop, and its workers' stop with it.
void Ride::stand_still() {
  context_.live.clock.suspend(wall_seconds());
  processes_.signal_all(SIGSTOP);
  if (groups_) groups_->stand_still();
  control_.stands_still();
  while (control_.suspending()) std::this_thread::sleep_for(5ms);
  context_.live.clock.go_on(wall_seconds());
  processes_.signal_all(SIGCONT);
  if (groups_) groups_->go_on();
}

Result<> Ride::await_engines() {
  while (!(crew_.all_ready() && (!groups_ || groups_->all_ready()))) {
    listen();
    if (control_.stopping()) stop("interrupt");
    if (crew_.failure().code) return crew_.failure();
    if (!groups_) continue;
    if (groups_->failure().code) return groups_->failure();
    if (failure_.code) return failure_;
    // When the first here has its engine, it has timed what the others then find chosen.
    if (crew_.any_ready()) PACELINE_TRYV(groups_->start_processes());
  }
  return success();
}

/// Before anything is measured: the evaluator times its convolutions, too.
Result<> Ride::prepare_evaluator() {
  assess(Assess::What::prepare, {});
  while (assessing_) listen();
  if (failure_.code) return failure_;
  return success();
}

void Ride::train() {
  const double before = options_.resume ? options_.resume->train_seconds : 0;
  assessed_at_ = before;
  context_.live.begun.store(context_.now() - before);
  if (options_.resume) tell_of_resume();
  for (std::uint32_t i = context_.place.roles(); i-- > 0;)  // services first
    if (context_.directory[i]) tell(&*self_, context_.directory[i], Begin{});
  if (groups_) groups_->begin();
  if (options_.checkpoints()) {
    checkpointer_ = spawn_checkpointer(system_, &context_, me());
    tell(&*self_, checkpointer_, Begin{});
  }
  while (crew_.riding() > 0 || (groups_ && groups_->riding() > 0)) {
    listen();
    look_around();
  }
  crew_.changes_end(*desk_);
  desk_.reset();
  context_.live.ended.store(context_.now());
  if (summary_.ended_by.empty()) summary_.ended_by = all_lost() ? "error" : "steps";
}

void Ride::stop(const char* why) {
  if (!summary_.ended_by.empty()) return;
  summary_.ended_by = why;
  if (checkpointer_ && context_.pauses())
    tell(&*self_, checkpointer_, Halt{});  // where all workers stand together
  else
    end_training();
}

void Ride::end_training() {
  context_.budget.stop();
  crew_.stop();
  if (groups_) groups_->stop();
}

void Ride::tell_of_resume() {
  const Checkpoint& from = *options_.resume;
  const auto record = [&](Event event) {
    tell(&*self_, context_.recorder,
         Observation{Address{}, context_.train_seconds(), std::move(event)});
  };
  for (const std::string& line : from.passed_over)
    record(FaultEvent{0, line + ": the checkpoint before is taken"});
  record(CheckpointEvent{from.steps, from.path.string(), 0, 0, true});
}

/// The checkpoint of the run's end, while the centre still lives.
void Ride::save_last() {
  if (!checkpointer_) return;
  constexpr auto kMost = 600s;  // of a slow disk
  ask(&*self_, checkpointer_, kMost, Finish{})
      .receive([](bool) {},
               [&](const caf::error&) {
                 tell(&*self_, context_.recorder,
                      Observation{Address{}, context_.train_seconds(),
                                  FaultEvent{0, "the last checkpoint was not written in time"}});
               });
  end(checkpointer_);
  checkpointer_ = nullptr;
}

/// Between messages: is it time to stop, to evaluate, to say how it goes?
void Ride::look_around() {
  const double t = context_.train_seconds();
  if (control_.stopping()) stop("interrupt");
  while (const auto question = desk_->take()) crew_.change(*question, *desk_);
  if (options_.minutes > 0 && t >= 60 * options_.minutes) stop("minutes");
  if (auto flushed = flush(); !flushed) stop("error");
  if (!data_usable()) stop("error");
  if (!assessing_ && t - assessed_at_ >= options_.evaluate_every && summary_.ended_by.empty() &&
      shown() && context_.leading() != Address{}) {
    assessed_at_ = t;
    asked_to_show_ = false;
    assess(options_.evaluate == Evaluate::beside ? Assess::What::leader : Assess::What::snapshot,
           context_.leading());
  }
  report("train");
}

/// Whether what is to be evaluated is there; where nobody publishes it by itself, workers are asked.
bool Ride::shown() {
  if (!context_.protocol->shown_on_request) return true;
  if (!std::exchange(asked_to_show_, true)) context_.words.show.fetch_add(1);
  for (Rank rank = 0; rank < context_.place.seats(); ++rank) {
    const SeatWords& seat = context_.words.seat(rank);
    const bool rides = !seat.vacant.load() && !seat.gone.load() && !seat.lost.load();
    if (rides && seat.shown.load() != context_.words.show.load()) return false;
  }
  return true;
}

void Ride::assess(Assess::What what, Address of) {
  assessing_ = true;
  tell(&*self_, evaluator_, Assess{what, of, context_.train_seconds()});
}

void Ride::assessed(const Assessed& result) {
  if (result.last) assessing_ = false;
  summary_.evaluation_cpu_seconds += result.cpu_seconds;
  if (result.failure.code == std::errc::resource_unavailable_try_again &&
      result.what != Assess::What::checkpoint)
    return;  // nothing published yet, or damaged
  if (result.failure.code) {
    if (!failure_.code) failure_ = result.failure;
    return stop("error");
  }
  if (result.what == Assess::What::prepare || result.what == Assess::What::snapshot ||
      result.what == Assess::What::checkpoint ||
      (result.what == Assess::What::snapshots && result.last))
    return;
  (result.mean ? last_mean_ : last_leader_) = result;
  if (options_.target_error && !result.mean && result.error <= *options_.target_error)
    stop("target_error");
}

void Ride::await_assessment() {
  while (assessing_) {
    listen();
    report("evaluate");
  }
}

/// Lets leaders handle what the workers sent last, and centres publish: an exit message would
/// overtake that.
void Ride::drain() {
  const double until = context_.now() + context_.patience(options_.tau_global);
  bool settled = false;
  for (std::uint64_t before = 1, after = 0;
       (before != after || !settled) && context_.now() < until;) {
    before = std::exchange(after, 0);
    settled = true;
    const auto drained = [&](const auto& actor) {
      ask(&*self_, actor, 10s, Drain{})
          .receive(
              [&](std::uint64_t handled, bool waits) {
                after += handled;
                settled = settled && waits;
              },
              [](const caf::error&) {});
    };
    for (std::uint32_t i = context_.place.seats(); i < context_.place.roles(); ++i)
      if (context_.directory[i]) drained(context_.directory[i]);
    for (const CourierActor& courier : context_.couriers)
      if (courier) drained(courier);
    if (groups_) {
      groups_->ask_to_drain();
      while (!groups_->drained() && context_.now() < until) listen();
      if (const auto others = groups_->drained()) {
        after += others->handled;
        settled = settled && others->settled;
      }
    }
    if (!settled) std::this_thread::sleep_for(5ms);
  }
  save_last();
  for (std::uint32_t i = context_.place.seats(); i < context_.place.roles(); ++i)
    if (context_.directory[i]) end(context_.directory[i]);
  static_cast<void>(flush());  // and the recorder has seen the last election
}

Result<> Ride::finish(double started) {
  await_assessment();
  const Address leading = context_.leading();
  const Address best = leading != Address{} ? leading : context_.place.worker(0);
  const bool begun = context_.newest({best, kParameters}) > 0;
  if (begun) {  // whatever else has failed: this is what the training was for
    assess(Assess::What::checkpoint, best);
    await_assessment();
  }
  if (begun && !failure_.code) {
    if (options_.evaluate == Evaluate::after) {
      assess(Assess::What::snapshots, best);
      await_assessment();
    }
    for (const Assess::What what : {Assess::What::leader, Assess::What::mean}) {
      assess(what, best);
      await_assessment();
    }
  }
  data_usable();  // a test of too few images is none
  finish_course(best);
  count_up();
  PACELINE_TRYV(flush());
  if (failure_.code) return failure_;
  if (all_lost())
    return fail(std::errc::operation_canceled, "every worker has ended: see the faults in {}",
                (options_.directory / "metrics.jsonl").string());
  PACELINE_TRYV(name_skipped());
  summary_.wall_seconds = wall_seconds() - started;
  return write_file_atomically(options_.directory / "summary.json", summary_json(summary_));
}

/// The actors have ended, but the recorder.
void Ride::finish_course(Address best) {
  if (!context_.course) return;
  const Pin pin = context_.arenas->slot({best, kParameters}).pin();
  const std::string_view bytes(reinterpret_cast<const char*>(pin.bytes().data()),
                               pin.bytes().size());
  context_.course->add({CourseEntry::Kind::leader, 0, static_cast<std::uint16_t>(best.index),
                        static_cast<std::uint32_t>(pin.version()), checksum(bytes)});
  if (const auto finished = context_.course->finish(); !finished && !failure_.code)
    failure_ = finished.error();
}

void Ride::count_up() {
  slots_.look();
  summary_.test_error_leader = last_leader_ ? last_leader_->error : NAN;
  summary_.test_error_mean = last_mean_ ? last_mean_->error : NAN;
  add_figures(context_, read_before_, summary_);
  for (const ServiceHost& service : services_)
    for (const auto& [name, n] : service.counts()) summary_.events[name] += n;
  if (options_.slot_checksums) summary_.events["damaged"] = slots_.found();
  if (groups_) {
    context_.reads.report(context_.place.groups, summary_);
    for (const auto& [name, n] : groups_->counts()) summary_.events[name] += n;
  }
  if (crew_.added() > 0) summary_.events["workers_added"] = crew_.added();
  if (crew_.removed() > 0) summary_.events["workers_removed"] = crew_.removed();
}

/// Whether the image files can still be read.
bool Ride::data_usable() {
  const auto usable = context_.data.usable();
  if (!usable && !failure_.code) failure_ = usable.error();
  return static_cast<bool>(usable);
}

/// skipped.txt: a line a file, its name and why.
Result<> Ride::name_skipped() const {
  if (summary_.skipped.empty()) return success();
  std::string text;
  for (const auto& [name, reason] : summary_.skipped) text += fmt::format("{}\t{}\n", name, reason);
  return write_file_atomically(options_.directory / "skipped.txt", text);
}

/// Ends an actor, and returns when it has ended.
template <class Actor>
void Ride::end(const Actor& actor) {
  if (!actor) return;
  self_->monitor(actor);
  self_->send_exit(actor, caf::exit_reason::user_shutdown);
  self_->receive([](const caf::down_msg&) {});
}

/// Ends whatever still lives, in an order in which nobody waits for somebody who is gone.
void Ride::wind_up() {
  context_.budget.stop();
  crew_.stop();
  while (crew_.riding() > 0) listen();
  post_.end();
  if (groups_) groups_->end();
  end(checkpointer_);
  for (const RoleActor& role : context_.directory) end(role);
  for (const CourierActor& courier : context_.couriers) end(courier);
  end(evaluator_);
  end(context_.recorder);
  for (ServiceHost& service : services_) service.clear();
}

Result<> Ride::flush() {
  Error failure;
  ask(&*self_, context_.recorder, 30s, Flush{})
      .receive([&](Error& answer) { failure = std::move(answer); },
               [&](const caf::error&) {
                 failure = fail(std::errc::io_error, "the recorder of {} does not answer",
                                (options_.directory / "metrics.jsonl").string());
               });
  if (!failure.code) return success();
  if (!failure_.code) failure_ = failure;
  return failure;
}

void Ride::report(const char* phase) {
  if (progress_) progress_(progress_of(context_, phase));
}

}  // namespace paceline
