#include "paceline/actors/actor_host.h"

#include <bit>
#include <cmath>
#include <stdexcept>

namespace paceline {
namespace {

RoleSetup setup_of(const RunContext& context, Address self) {
  RoleSetup setup;
  setup.self = self;
  setup.place = context.place;
  setup.hyper = context.hyper.get();
  setup.math = &context.device_of(self).math();
  setup.dimension = context.network.layout().elements;
  setup.sgd = context.options.sgd;
  setup.clip_norm = context.options.clip_norm;
  setup.seed = context.options.seed;
  return setup;
}

}  // namespace

ActorHost::ActorHost(RunContext& context, Address self)
    : RoleHost(setup_of(context, self)),
      context_(context),
      learning_rate_(context.options.sgd.learning_rate, context.options.schedule) {
  keep_course(context.course.get());
}

void ActorHost::send(Address to, const Packet& packet) {
  anonymously_tell(context_.directory[to.index], to_wire(packet));
}

void ActorHost::prefetch(SlotRef ref, std::uint64_t at_least) {
  if (context_.arenas->local(group(), ref) || context_.arenas->pin(group(), ref, at_least)) return;
  anonymously_tell(context_.couriers[group()], Fetch{ref, Address{}, 0, at_least});
}

void ActorHost::record(const Event& event) {
  anonymously_tell(context_.recorder, Observation{self(), context_.train_seconds(), event});
}

nanoseconds ActorHost::now() const {
  return nanoseconds(static_cast<std::int64_t>(1e9 * context_.train_seconds()));
}

double ActorHost::learning_rate() {
  const double rate = learning_rate_.rate(context_.progress(steps()));
  noted_rate(rate);
  return rate;
}

void ActorHost::noted_rate(double rate) {
  context_.live.learning_rate.store(rate);
  const Schedule& schedule = context_.options.schedule;
  if (!schedule.constant()) note(CourseEntry::Kind::rate, 0, 0, std::bit_cast<std::uint64_t>(rate));
}

nanoseconds ActorHost::allowed(std::uint64_t steps) {
  constexpr double kEvery = 1;  // seconds; a leader asks with every message
  if (const double now = wall_seconds(); now - looked_at_ > kEvery) {
    slowest_ = context_.slowest();
    looked_at_ = now;
  }
  return nanoseconds(std::llround(1e9 * context_.patience(steps, slowest_)));
}

Vector ActorHost::allocate(std::string_view name) {
  auto memory = context_.device_of(self()).allocate(math().bytes(dimension()));
  if (!memory) throw std::runtime_error(memory.error().message);
  const Vector v{memory.value()->data(), dimension()};
  memory_.push_back(std::move(memory).value());
  if (name == "x") math().copy(v, ConstVector(context_.initial.data(), dimension()));
  return v;
}

bool ActorHost::pin_or_fetch(PinOp& op) {
  const bool local = context_.arenas->local(group(), op.slot);
  const bool at_once = op.within.count() == 0;
  if (local || at_once || op.at_least != kNewest)
    op.got = context_.arenas->pin(group(), op.slot, at_once ? 0 : op.at_least);
  if (op.got || local || at_once) return true;
  anonymously_tell(context_.couriers[group()], Fetch{op.slot, self(), ++ticket_, op.at_least});
  return false;
}

}  // namespace paceline
