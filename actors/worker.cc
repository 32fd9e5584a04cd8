#include "paceline/actors/worker.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "paceline/actors/cnn_engine.h"

namespace paceline {
namespace {

constexpr double kLongestNap = 60;  // seconds; a wait takes as many as it needs

double seconds_of(nanoseconds time) { return std::chrono::duration<double>(time).count(); }

/// Leaves the role of a worker that is removed.
struct Dismissed {};

std::string words(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    return "out of memory";
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of no known type";
  }
}

}  // namespace

WorkerHost::WorkerHost(RunContext& context, Rank rank)
    : ActorHost(context, {rank}),
      seat_(context.words.seat(rank)),
      metered_math_(math(), coordination_) {
  if (const std::uint32_t before = seat_.generation.load(); before > 0)
    continue_from(seat_.steps.load(), Rng(context.options.seed + before, rank).state());
}

bool WorkerHost::start(GradientOp& op) {
  PACELINE_CHECK(seat_.claimed.load() || running(), "worker {}: a gradient beyond the budget",
                 self().index);
  const double since = context_.now();
  if (op.update && op.update->empty() && !clips() && engine_->updates()) {
    Sgd optimiser = sgd();
    optimiser.gradient_scale = 1;
    optimiser.learning_rate = op.updated.emplace(upcoming_rate());
    op.loss = engine_->step(optimiser, x(), momentum(), op.g, rng());
  } else {
    op.loss = engine_->gradient(op.at, op.g, rng());
  }
  note_step_time(context_.now() - since);
  seat_.claimed.store(false);  // not before: who ends in a gradient leaves the step to others
  context_.live.steps.fetch_add(1);
  seat_.steps.fetch_add(1);
  report_progress(op.loss);
  return true;
}

bool WorkerHost::start(ReceiveOp& op) {
  op.ok = take(op.wanted, op.got);
  if (op.ok || op.within.count() == 0) return true;
  receiving_ = &op;
  return false;
}

bool WorkerHost::start(PinOp& op) {
  if (pin_or_fetch(op)) return true;
  pinning_ = &op;
  return false;
}

bool WorkerHost::take(const Wanted& wanted, Packet& out) {
  const std::lock_guard lock(mutex_);
  return inbox_.take(wanted, out);
}

bool WorkerHost::running() {
  answer_checkpoint();
  show_parameters();
  if (seat_.dismissed.load()) throw Dismissed{};
  if (context_.options.deterministic && steps() >= context_.steps_planned / place().workers())
    return false;
  if (!seat_.claimed.load()) seat_.claimed.store(context_.budget.claim());
  return seat_.claimed.load();
}

/// For who wants to see them. The protocol notices nothing: what is not finite is not its affair here,
/// and is not shown.
void WorkerHost::show_parameters() {
  const std::uint64_t asked = context_.words.show.load();
  if (seat_.shown.load() == asked || !context_.protocol->shown_on_request) return;
  const Vector x = vector("x");
  const std::function<void(std::span<std::byte>)> copy = [&](std::span<std::byte> to) {
    math().copy({to.data(), x.count}, x);
  };
  if (!math().finite(x) || publish(kParameters, copy) != 0) seat_.shown.store(asked);
}

void WorkerHost::pull(const Pull& pull) {
  const CpuTime time(coordination_);
  RoleHost::pull(pull);
}

void WorkerHost::update(std::span<const Pull> pulls) {
  if (pulls.empty()) return RoleHost::update(pulls);
  const CpuTime time(coordination_, coordination_share(pulls.size()));
  RoleHost::update(pulls);
}

void WorkerHost::write_buffers(std::span<std::byte> to) {
  const ConstVector buffers = engine_->buffers();
  coordination_math().copy({to.data(), buffers.count}, buffers);
}

std::unique_ptr<PendingCopy> WorkerHost::begin_buffers(std::span<std::byte> to) {
  const ConstVector buffers = engine_->buffers();
  return coordination_math().begin_copy({to.data(), buffers.count}, buffers);
}

void WorkerHost::deliver(const Packet& packet) {
  const std::lock_guard lock(mutex_);
  inbox_.push(packet);
  changed_.notify_one();
}

void WorkerHost::close() {
  const std::lock_guard lock(mutex_);
  inbox_ = {};
}

void WorkerHost::begin() {
  const std::lock_guard lock(mutex_);
  begun_ = true;
  changed_.notify_one();
}

void WorkerHost::wake() {
  const std::lock_guard lock(mutex_);
  changed_.notify_one();
}

void WorkerHost::fetched(std::uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  fetched_ = ticket;
  changed_.notify_one();
}

EngineEnded WorkerHost::live(const caf::actor& run) {
  EngineEnded end{self().index, false};
  const auto& shares = context_.processors.seats;
  // Before anything makes a thread: OpenMP's team, what decodes images.
  const PinnedThread pinned(shares.empty() ? ProcessorIds{} : shares[self().index]);
  if (pinned.failure().code)
    record(FaultEvent{0, fmt::format("worker {} {}", self().index, pinned.failure().message)});
  try {
    Result<> built = success();
    try {
      built = build();
    } catch (const std::exception& error) {
      built = fail(std::errc::not_enough_memory, "cannot build its engine: {}", error.what());
    }
    seat_.built.store(static_cast<bool>(built));
    anonymously_tell(run, EngineReady{self().index, built ? Error{} : built.error()});
    end.crashed = !built;  // why, the run knows already
    if (built && !wait_for_begin()) end.crashed = true;
    if (built && begun_) {
      begun_at_ = context_.now();
      reported_at_ = context_.train_seconds();
      reported_steps_ = steps();
      seat_.saved.store(0);
      seat_.gone.store(false);
      if (seat_.generation.load() > 0) note(CourseEntry::Kind::came_later, 0, 0, steps());
      live_role();
      if (!role_.error()) save(kLastState);
      write_figures();
    }
    if (const std::exception_ptr error = role_.error()) std::rethrow_exception(error);
  } catch (const Dismissed&) {
    end.crashed = true;  // to the protocol it is: others go on without it
  } catch (...) {
    end.crashed = true;
    record(FaultEvent{0, fmt::format("worker {} ended after {} steps: {}", self().index, steps(),
                                     words(std::current_exception()))});
  }
  note(CourseEntry::Kind::ended, end.crashed, 0, steps());
  role_ = {};
  abandon();
  engine_.reset();
  return end;
}

bool WorkerHost::wait_for_begin() {
  constexpr double kEngines = 3;
  const double within = kEngines * context_.options.begin_within;
  {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, std::chrono::duration<double>(within),
                          [&] { return begun_ || context_.budget.stopped(); }))
      return true;
  }
  std::string missing;
  for (Rank rank = 0; rank < place().workers(); ++rank) {
    const SeatWords& other = context_.words.seat(rank);
    if (other.built.load()) continue;
    missing += fmt::format("{} worker {}", missing.empty() ? "; without an engine:" : ",", rank);
    if (const std::int64_t alive = other.alive_at.load())
      missing += fmt::format(" (last sign of life {:.3f} s ago)",
                             wall_seconds() - 1e-9 * static_cast<double>(alive));
  }
  record(FaultEvent{
      0, fmt::format("worker {} waited in vain for the run's beginning, which process {} has to "
                     "give{}; the deadline was {:.3g} s",
                     self().index, context_.home.pid, missing, within)});
  return false;
}

void WorkerHost::live_role() {
  role_ = context_.protocol->worker.start(*this);
  for (role_.resume(); !role_.done();) {
    const double since = context_.now();
    std::coroutine_handle<> parked;
    if (receiving_) {
      ReceiveOp& op = *std::exchange(receiving_, nullptr);
      wait_for_message(op);
      parked = op.role;
    } else {
      PinOp& op = *std::exchange(pinning_, nullptr);
      wait_for_pin(op);
      parked = op.role;
    }
    coordination_ += context_.now() - since;
    parked.resume();
  }
}

Result<> WorkerHost::build() {
  context_.use_device_for(self().index);
  const RunOptions& o = context_.options;
  CompileOptions compile;
  compile.batch = o.batch;
  compile.deterministic = o.deterministic;
  PACELINE_TRY(engine_, CnnEngine::create(context_.device_of(self()), context_.network.program(), compile,
                                          std::span(context_.initial).subspan(dimension()),
                                          context_.data, context_.stream(self().index)));
  for (const char* name : {"x", "g", "momentum"})
    vector(name);  // touched here, by the thread that will use them
  if (const std::uint64_t before = seat_.generation.load(); before > 0) {
    StreamState stream;  // epochs that nobody in this seat comes to otherwise
    stream.epoch = before << 32;
    stream.rng = Rng(context_.options.seed + before, self().index).next();
    take_leaders(stream);
  }
  restore();
  return success();
}

/// The newest parameters and running statistics of who leads; empty while there are none.
Pin WorkerHost::leaders() {
  PinOp op;
  op.slot = {context_.leading(), kParameters};
  if (op.slot.owner == Address{}) return {};
  op.at_least = kNewest;
  op.within = patience(1);
  if (!pin_or_fetch(op)) wait_for_pin(op);
  return std::move(op.got);
}

/// Parameters and running statistics of who leads, or the first ones; no momentum; batches from
/// `stream`. @return whose they are
std::string WorkerHost::take_leaders(const StreamState& stream) {
  const Pin pin = leaders();
  const bool finite = pin && math().finite({pin.bytes().data(), dimension()});
  const std::span<const std::byte> from =
      finite ? pin.bytes() : std::as_bytes(std::span(context_.initial));
  math().copy(vector("x"), {from.data(), dimension()});
  const bool whole = finite && place().role(context_.leading()) == Role::worker;
  const std::span<const std::byte> buffers =
      (whole ? from : std::as_bytes(std::span(context_.initial)))
          .subspan(math().bytes(dimension()));
  engine_->restore(stream, {buffers.data(), engine_->buffers().count});
  math().fill(vector("momentum"), 0);
  math().finish();  // before the leader's pin goes
  if (!finite) return "the first parameters";
  return fmt::format("version {} of {}", pin.version(), place().name(context_.leading()));
}

/// One line for each, until it comes to be a habit.
bool WorkerHost::begin_again(std::string_view what) {
  constexpr std::uint64_t kNear = 100;  // steps
  constexpr int kHabit = 3;
  const bool near = began_again_in_a_row_ > 0 && steps() - began_again_at_ < kNear;
  began_again_in_a_row_ = near ? began_again_in_a_row_ + 1 : 1;
  began_again_at_ = steps();
  count("began_again");
  const std::string from = take_leaders(engine_->stream());
  if (began_again_in_a_row_ > kHabit) return true;
  std::string text =
      fmt::format("worker {}: after {} steps its {} not finite: it begins again from {}",
                  self().index, steps(), what, from);
  if (began_again_in_a_row_ == kHabit)
    text += fmt::format(
        ", for the third time within {} steps of each other: a lower --lr than {:.3g}, "
        "--lr-warm-up "
        "or --clip-norm may help (from here on it is only counted, as began_again)",
        kNear, sgd().learning_rate);
  record(FaultEvent{0, std::move(text)});
  return true;
}

void WorkerHost::note_step_time(double seconds) {
  constexpr std::size_t kEvery = 8;
  step_times_.add(seconds);
  if (step_times_.added() != StepTimes::kEnough && step_times_.added() % kEvery != 0) return;
  const StepSummary summary = step_times_.summary();
  seat_.step_spread.store(summary.spread);
  seat_.step_median.store(std::max(summary.median, 1e-9));  // 0 is: not known
}

void WorkerHost::wait_for_message(ReceiveOp& op) {
  const double until = context_.now() + seconds_of(op.within);
  std::unique_lock lock(mutex_);
  while (!(op.ok = inbox_.take(op.wanted, op.got))) {
    if (context_.budget.stopped() && op.wanted.kinds != 0) return;  // a pause goes on
    const double left = until - context_.now();
    if (left <= 0) return;
    changed_.wait_for(lock, std::chrono::duration<double>(std::min(left, kLongestNap)));
  }
}

void WorkerHost::wait_for_pin(PinOp& op) {
  const double until = context_.now() + seconds_of(op.within);
  std::unique_lock lock(mutex_);
  while (fetched_ != ticket() && !context_.budget.stopped()) {
    const double left = until - context_.now();
    if (left <= 0) return;
    changed_.wait_for(lock, std::chrono::duration<double>(std::min(left, kLongestNap)));
  }
  pin_fetched(op);
}

void WorkerHost::report_progress(double loss) {
  constexpr double kEvery = 1;  // seconds
  const double now = context_.train_seconds();
  if (now - reported_at_ < kEvery) return;
  const auto images = static_cast<double>((steps() + 1 - reported_steps_) * context_.options.batch);
  anonymously_tell(context_.recorder, Progressed{self(), now, loss, images / (now - reported_at_),
                                                 context_.live.learning_rate.load(), steps() + 1});
  reported_at_ = now;
  reported_steps_ = steps() + 1;
  write_figures();
}

/// Adds what the seat does not have yet.
void WorkerHost::write_figures() {
  const double now = context_.now();
  seat_.train_seconds.fetch_add(now - std::exchange(begun_at_, now));
  seat_.coordination_seconds.fetch_add(std::exchange(coordination_, 0.0));
  for (const auto& [name, n] : counts())
    if (const std::uint64_t more = n - std::exchange(counted_[name], n))
      seat_.counts.add(name, more);
}

namespace {

struct FrontState {
  static constexpr const char* name = "worker";
  Rider* rider = nullptr;
};

RoleActor::behavior_type front(RoleActor::stateful_pointer<FrontState> self,
                               const caf::actor& run) {
  return {
      [=](const Wire& wire) {
        if (Rider* rider = state(self).rider) rider->deliver(to_packet(wire));
      },
      [=](Begin) {
        if (Rider* rider = state(self).rider) rider->begin();
      },
      [=](Stop) {
        if (Rider* rider = state(self).rider) rider->wake();
      },
      [=](Tick) {},
      [=](const Fetched& fetched) {
        if (Rider* rider = state(self).rider) rider->fetched(fetched.ticket);
      },
      [=](const EngineEnded& end) {
        if (Rider* rider = std::exchange(state(self).rider, nullptr)) rider->close();
        anonymously_tell(run, end);
      },
      [=](Drain) {
        return caf::result<std::uint64_t, bool>{0, true};
      },
      [=](Seated seated) { state(self).rider = seated.rider; },
      [=](SaveState) { return false; },
      [=](const Saved&) {},
  };
}

}  // namespace

RoleActor spawn_front(caf::actor_system& system, const caf::actor& run) {
  return system.spawn(front, run);
}

void spawn_engine(caf::actor_system& system, WorkerHost* host, const RoleActor& front,
                  const caf::actor& run) {
  system.spawn<caf::detached>([host, front, run](caf::event_based_actor* self) {
    const EngineEnded end = host->live(run);
    tell(self, front, end);
  });
}

}  // namespace paceline
