#include "paceline/actors/simulation/virtual_time.h"

#include "driver_internal.h"

namespace paceline {

// ---- building ----

Vector VirtualTime::Driver::SimulatedRole::allocate(std::string_view name) {
  if (name == "g" && driver.plan_.protocol->gradient_passes) return driver.passing_gradient();
  constexpr std::size_t kAlignment = 64;
  std::size_t space = math().bytes(dimension()) + kAlignment;
  memory.push_back(std::make_unique<std::byte[]>(space));
  void* data = memory.back().get();
  std::align(kAlignment, space - kAlignment, data, space);
  const Vector v{data, dimension()};
  if (name == "x") driver.write_first(*this, v);
  return v;
}

// One thread computes at a time, and nobody looks at a gradient after it has waited again.
Vector VirtualTime::Driver::passing_gradient() {
  if (!passing_gradient_)
    passing_gradient_ = std::make_unique<std::byte[]>(plan_.math->bytes(plan_.dimension));
  return {passing_gradient_.get(), plan_.dimension};
}

void VirtualTime::Driver::write_first(const SimulatedRole& role, Vector x) const {
  const Pin leader = role.generation > 0 ? leaders() : Pin();
  if (leader)
    plan_.math->copy(x, {leader.bytes().data(), x.count});
  else if (plan_.initial)
    plan_.initial(role.self(), x);
}

std::unique_ptr<VirtualTime::Driver::SimulatedRole> VirtualTime::Driver::make(
    Address self, std::uint32_t generation) {
  RoleSetup setup{self,      plan_.place,     hyper_.get(),           plan_.math, plan_.dimension,
                  plan_.sgd, plan_.clip_norm, plan_.seed + generation};
  auto role = std::make_unique<SimulatedRole>(*this, setup);
  role->generation = generation;
  role->group = plan_.place.group(self);
  return role;
}

void VirtualTime::Driver::enliven(SimulatedRole& role) {
  const Role kind = plan_.place.role(role.self());
  if (kind == Role::worker) role.engine = plan_.engine(role.self().index);
  role.slowness_percent =
      static_cast<std::uint32_t>(chance_.below(plan_.conditions.spread_percent + std::uint64_t{1}));
  role.task = plan_.protocol->kind(kind).start(role);
  role.dead = false;
}

Result<> VirtualTime::Driver::furnish() {
  const Place& place = plan_.place;
  std::vector<ArenaOptions> options(place.groups);
  moved_.resize(place.roles());
  link_busy_until_.resize(place.groups);
  for (std::uint32_t i = 0; i < place.roles(); ++i) {
    const Address self{i};
    auto role = make(self, 0);
    role->first_slot = options[role->group].slots.size();
    const Role kind = place.role(self);
    if (plan_.protocol->kind(kind)) {
      for (const SlotShape& shape :
           plan_.protocol->slots(kind, *plan_.math, plan_.dimension, place))
        options[role->group].slots.push_back(shape);
      if (!place.begins_empty(self)) {
        enliven(*role);
        ++alive_;
      }
    }
    roles_.push_back(std::move(role));
  }
  for (ArenaOptions& o : options) {
    o.name = "simulated";
    PACELINE_TRY(Arena arena, Arena::local(o));
    arenas_.push_back(std::move(arena));
  }
  for (std::uint32_t i = 0; i < plan_.conditions.crashes.size(); ++i) {
    const auto& crash = plan_.conditions.crashes[i];
    schedule(crash.at.count(), crash.who.index, Kind::crash, i);
  }
  for (const Conditions::Addition& addition : plan_.conditions.additions) {
    PACELINE_CHECK(place.begins_empty({addition.who}), "worker {} is there already", addition.who);
    schedule(addition.at.count(), addition.who, Kind::replace);
    ++alive_;
  }
  return success();
}

// ---- the outside ----

Result<VirtualTime> VirtualTime::create(VirtualRun run) {
  PACELINE_TRY(auto hyper, run.protocol->hyper(run.settings, run.place));
  VirtualTime made(std::make_unique<Driver>(std::move(run), std::move(hyper)));
  PACELINE_TRYV(made.driver_->furnish());
  return made;
}
VirtualTime::VirtualTime(std::unique_ptr<Driver> driver) : driver_(std::move(driver)) {}
VirtualTime::VirtualTime(VirtualTime&&) noexcept = default;
VirtualTime& VirtualTime::operator=(VirtualTime&&) noexcept = default;
VirtualTime::~VirtualTime() = default;

void VirtualTime::run() { driver_->run({}, {}); }
void VirtualTime::run(nanoseconds every, const std::function<bool()>& go_on) {
  driver_->run(every, go_on);
}
Address VirtualTime::leading() const {
  const VirtualRun& plan = driver_->plan_;
  if (plan.protocol->has_centre()) return plan.place.global();
  if (driver_->leader_ != kNobody) return plan.place.worker(driver_->leader_);
  return plan.protocol->sequential ? plan.place.worker(0) : Address{};
}
RoleHost& VirtualTime::role(Address who) { return *driver_->roles_[who.index]; }
RoleHost& VirtualTime::worker(Rank rank) { return role(driver_->plan_.place.worker(rank)); }
RoleHost& VirtualTime::global() { return role(driver_->plan_.place.global()); }
bool VirtualTime::ended(Address who) const { return driver_->roles_[who.index]->dead; }
nanoseconds VirtualTime::now() const { return nanoseconds(driver_->now_); }
std::uint64_t VirtualTime::events() const { return driver_->events_; }
const Traffic& VirtualTime::traffic() const { return driver_->traffic_; }
const Moved& VirtualTime::moved(Address who) const { return driver_->moved_[who.index]; }
const std::vector<VirtualTime::Record>& VirtualTime::records() const { return driver_->records_; }

std::uint64_t VirtualTime::steps() const {
  std::uint64_t sum = 0;
  for (const auto& role : driver_->roles_) sum += role->steps();
  return sum;
}
std::uint64_t VirtualTime::count(std::string_view name) const {
  std::uint64_t sum = 0;
  for (const auto* roles : {&driver_->roles_, &driver_->retired_})
    for (const auto& role : *roles)
      if (const auto it = role->counts().find(name); it != role->counts().end()) sum += it->second;
  return sum;
}
std::vector<std::string> VirtualTime::faults() const {
  std::vector<std::string> texts;
  for (const Record& r : driver_->records_)
    if (const auto* fault = std::get_if<FaultEvent>(&r.event)) texts.push_back(fault->text);
  return texts;
}

}  // namespace paceline
