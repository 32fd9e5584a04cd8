#include "paceline/actors/service.h"

#include <cmath>
#include <exception>

namespace paceline {

bool ServiceHost::start(GradientOp&) {
  PACELINE_CHECK(false, "{} has no data to take a gradient on", place().name(self()));
  return true;
}

bool ServiceHost::start(ReceiveOp& op) {
  op.ok = inbox_.take(op.wanted, op.got);
  if (op.ok || op.within.count() == 0) return true;
  receiving_ = &op;
  wait_until(run_time() + op.within);
  return false;
}

bool ServiceHost::start(PinOp& op) {
  if (pin_or_fetch(op)) return true;
  pinning_ = &op;
  wait_until(run_time() + op.within);
  return false;
}

void ServiceHost::begin(RoleActor::pointer actor) {
  actor_ = actor;
  restore();
  const RoleKind& kind = context_.protocol->kind(place().role(self()));
  role_ = kind.start(*this);
  role_.resume();
  if (role_.done()) end();
}

void ServiceHost::deliver(const Packet& packet) {
  ++handled_;
  if (ended_) return send_back(packet);
  inbox_.push(packet);
  if (!receiving_ || !inbox_.take(receiving_->wanted, receiving_->got)) return;
  ReceiveOp& op = *std::exchange(receiving_, nullptr);
  op.ok = true;
  resume(op.role);
}

void ServiceHost::tick() {
  if (actor_->clock().now() >= armed_for_) armed_for_ = Clock::time_point::max();
  if (!receiving_ && !pinning_) return;
  if (run_time() < deadline_) return wait_until(deadline_);
  resume(receiving_ ? std::exchange(receiving_, nullptr)->role
                    : std::exchange(pinning_, nullptr)->role);
}

void ServiceHost::fetched(std::uint64_t answered) {
  ++handled_;
  if (!pinning_ || answered != ticket()) return;
  PinOp& op = *std::exchange(pinning_, nullptr);
  pin_fetched(op);
  resume(op.role);
}

bool ServiceHost::save() {
  const StateShape& shape = context_.state(self());
  if (!settled()) return false;
  auto loan = context_.arenas->state_slot(self()).loan();
  if (!loan) return false;
  save_state(*this, shape, 0, {}, {}, loan->bytes());
  std::move(*loan).publish();
  return true;
}

void ServiceHost::saved(const Saved& saved) {
  context_.words.seat(saved.rank).saved.store(saved.request);
}

void ServiceHost::restore() {
  const StateShape& shape = context_.state(self());
  if (shape.bytes == 0) return;
  if (const Pin state = context_.arenas->state_slot(self()).pin())
    restore_state(*this, shape, state.bytes());
}

caf::timespan ServiceHost::suspended() const {
  const double wall = wall_seconds();
  return caf::timespan(std::llround(1e9 * (wall - context_.live.clock.now(wall))));
}

void ServiceHost::wait_until(Clock::time_point deadline) {
  deadline_ = deadline;
  const Clock::time_point due = deadline + suspended();
  if (due >= armed_for_) return;
  armed_for_ = due;
  const auto left = std::max<caf::timespan>(due - actor_->clock().now(), caf::timespan::zero());
  tell_after(actor_, RoleActor{actor_}, left, Tick{});
}

void ServiceHost::resume(std::coroutine_handle<> parked) {
  parked.resume();
  if (role_.done()) end();
}

void ServiceHost::end() {
  ended_ = true;
  note(CourseEntry::Kind::ended, role_.error() != nullptr, 0, 0);
  if (const std::exception_ptr error = role_.error()) try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      record(FaultEvent{0, fmt::format("{} ended: {}", place().name(self()), e.what())});
    }
  for (Packet packet; inbox_.take(Wanted{}, packet);) send_back(packet);
  const Address global = place().global();
  if (self() != global && context_.directory[global.index])
    send(global, gone_packet(self(), role_.error() != nullptr));
}

void ServiceHost::send_back(const Packet& packet) {
  if (!packet.news()) send({packet.from}, gone_packet(self(), role_.error() != nullptr));
}

namespace {

struct ServiceState {
  static constexpr const char* name = "leader";
};

RoleActor::behavior_type service(RoleActor::stateful_pointer<ServiceState> self,
                                 ServiceHost* host) {
  return {
      [=](const Wire& wire) { host->deliver(to_packet(wire)); },
      [=](Begin) { host->begin(self); },
      [=](Stop) {},
      [=](Tick) { host->tick(); },
      [=](const Fetched& fetched) { host->fetched(fetched.ticket); },
      [=](const EngineEnded&) {},
      [=](Drain) {
        return caf::result<std::uint64_t, bool>{host->handled(), host->settled()};
      },
      [=](Seated) {},
      [=](SaveState) { return host->save(); },
      [=](const Saved& saved) { host->saved(saved); },
  };
}

}  // namespace

RoleActor spawn_service(caf::actor_system& system, ServiceHost* host, Placement placement) {
  return placement == Placement::detached ? system.spawn<caf::detached>(service, host)
                                          : system.spawn(service, host);
}

}  // namespace paceline
