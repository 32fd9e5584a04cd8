#include "paceline/actors/worker.h"

#include <cmath>
#include <exception>

#include "paceline/actors/cnn_engine.h"

namespace paceline {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

WorkerHost::WorkerHost(RunContext& context, Rank rank)
    : ActorHost(context, {rank}),
      seat_(context.words.seat(rank)),
      metered_math_(math(), coordination_) {}

bool WorkerHost::start(GradientOp& op) {
  PACELINE_CHECK(seat_.claimed.load() || running(), "worker {}: a gradient beyond the budget", self().index);
  seat_.claimed.store(false);
  op.loss = engine_->gradient(op.at, op.g, rng());
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
  if (context_.options.deterministic && steps() >= context_.budget.planned() / place().workers())
    return false;
  if (!seat_.claimed.load()) seat_.claimed.store(context_.budget.claim());
  return seat_.claimed.load();
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

bool WorkerHost::deliver(const Packet& packet) {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  inbox_.push(packet);
  changed_.notify_one();
  return true;
}

Inbox WorkerHost::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  return std::exchange(inbox_, {});
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
  Result<> built = success();
  try {
    built = build();
  } catch (const std::exception& error) {
    built = fail(std::errc::not_enough_memory, "cannot build its engine: {}", error.what());
  }
  anonymously_tell(run, EngineReady{self().index, built ? Error{} : built.error()});
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return begun_ || context_.budget.stopped(); });
  }
  if (built && begun_) {
    begun_at_ = wall_seconds();
    reported_at_ = context_.train_seconds();
    reported_steps_ = steps();
    seat_.saved.store(0);
    seat_.gone.store(false);
    live_role();
    if (!role_.error()) save(kLastState);
    write_figures();
  }
  if (const std::exception_ptr error = role_.error()) try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      end.crashed = true;
      record(FaultEvent{0, fmt::format("worker {} ended: {}", self().index, e.what())});
    }
  role_ = {};
  engine_.reset();
  return end;
}

void WorkerHost::live_role() {
  role_ = context_.protocol->worker.start(*this);
  for (role_.resume(); !role_.done();) {
    const double since = wall_seconds();
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
    coordination_ += wall_seconds() - since;
    parked.resume();
  }
}

Result<> WorkerHost::build() {
  const RunOptions& o = context_.options;
  CompileOptions compile;
  compile.batch = o.batch;
  compile.deterministic = o.deterministic;
  PACELINE_TRY(engine_, CnnEngine::create(*context_.device, context_.network.program(), compile,
                                          std::span(context_.initial).subspan(dimension()),
                                          context_.data, context_.stream(self().index)));
  for (const char* name : {"x", "g", "momentum"})
    vector(name);  // touched here, by the thread that will use them
  restore();
  return success();
}

void WorkerHost::wait_for_message(ReceiveOp& op) {
  const auto until = Clock::now() + op.within;
  std::unique_lock lock(mutex_);
  while (!(op.ok = inbox_.take(op.wanted, op.got))) {
    if (context_.budget.stopped() && op.wanted.kinds != 0) return;  // a pause goes on
    if (changed_.wait_until(lock, until) == std::cv_status::timeout) {
      op.ok = inbox_.take(op.wanted, op.got);
      return;
    }
  }
}

void WorkerHost::wait_for_pin(PinOp& op) {
  const auto until = Clock::now() + op.within;
  std::unique_lock lock(mutex_);
  const bool answered = changed_.wait_until(
      lock, until, [&] { return fetched_ == ticket() || context_.budget.stopped(); });
  if (answered) pin_fetched(op);
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
  const double now = wall_seconds();
  seat_.train_seconds.fetch_add(now - std::exchange(begun_at_, now));
  seat_.coordination_seconds.fetch_add(std::exchange(coordination_, 0.0));
  for (const auto& [name, n] : counts())
    if (const std::uint64_t more = n - std::exchange(counted_[name], n)) seat_.counts.add(name, more);
}

namespace {

struct FrontState {
  static constexpr const char* name = "worker";
  Rider* rider = nullptr;
  bool crashed = false;  // the last rider
};

RoleActor::behavior_type front(RoleActor::stateful_pointer<FrontState> self, RunContext* context,
                               Rank rank, const caf::actor& run) {
  const auto send_back = [=](const Packet& packet) {
    if (packet.kind == 0) return;
    const Packet gone = gone_packet(context->place.worker(rank), state(self).crashed);
    anonymously_tell(context->directory[packet.from], to_wire(gone));
  };
  return {
      [=](const Wire& wire) {
        const Packet packet = to_packet(wire);
        Rider* rider = state(self).rider;
        if (!rider || !rider->deliver(packet)) send_back(packet);
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
        FrontState& seat = state(self);
        seat.crashed = end.crashed;
        Inbox left = std::exchange(seat.rider, nullptr)->close();
        for (Packet packet; left.take(Wanted{}, packet);) send_back(packet);
        anonymously_tell(run, end);
      },
      [=](Drain) {
        return caf::result<std::uint64_t, bool>{0, true};
      },
      [=](Seated seated) { state(self).rider = seated.rider; },
      [=](SaveState) { return false; },
  };
}

}  // namespace

RoleActor spawn_front(caf::actor_system& system, RunContext* context, Rank rank,
                      const caf::actor& run) {
  return system.spawn(front, context, rank, run);
}

void spawn_engine(caf::actor_system& system, WorkerHost* host, const RoleActor& front,
                  const caf::actor& run) {
  system.spawn<caf::detached>([host, front, run](caf::event_based_actor* self) {
    const EngineEnded end = host->live(run);
    tell(self, front, end);
  });
}

}  // namespace paceline
