#include <algorithm>

#include "driver_internal.h"

namespace paceline {

// ---- what roles ask for ----

bool VirtualTime::Driver::start(SimulatedRole& role, GradientOp& op) {
  role.computing = &op;
  Time time = plan_.conditions.step.count();
  if (plan_.conditions.spread_percent)
    time = stretched(time + time * role.slowness_percent / 100, 10);
  if (plan_.conditions.compute.varies())
    time = plan_.conditions.compute.draw(nanoseconds(time), role.self().index, chance_).count();
  schedule(now_ + time, role.self().index, Kind::ready, role.generation);
  return false;
}

bool VirtualTime::Driver::start(SimulatedRole& role, ReceiveOp& op) {
  op.ok = role.inbox.take(op.wanted, op.got);
  if (op.ok) return true;
  role.receiving = &op;
  park(role, op.within);
  return false;
}

bool VirtualTime::Driver::start(SimulatedRole& role, PinOp& op) {
  const bool here = role.group == plan_.place.group(op.slot.owner);
  const Slot held = here ? slot(op.slot) : mirror(role.group, op.slot).slot;
  const bool fresh = here || op.at_least != kNewest || op.within.count() == 0;
  if (fresh && (op.at_least == kNewest || held.version() >= op.at_least)) op.got = held.pin();
  meter(role, op);
  if (op.got || here || op.within.count() == 0) return true;
  Mirror& m = mirror(role.group, op.slot);
  const bool missed = m.reading && op.at_least != kNewest;
  (missed ? m.late : m.waiting).push_back(role.self().index);
  role.pinning = &op;
  read(role, op.slot, op.at_least);
  park(role, op.within);
  return false;
}

void VirtualTime::Driver::meter(const SimulatedRole& reader, const PinOp& op) {
  const Address self = reader.self();
  if (!op.got || op.slot.owner == self) return;
  if (!plan_.protocol->kind(plan_.place.role(self)).whole_vectors) return;
  const std::uint64_t bytes = op.part ? op.part : op.got.bytes().size();
  moved_[self.index].received += bytes;
  moved_[op.slot.owner.index].sent += bytes;
}

void VirtualTime::Driver::send(SimulatedRole& from, Address to, const Packet& packet) {
  ++traffic_.messages;
  traffic_.message_bytes += packet.bytes;
  const std::uint32_t to_group = plan_.place.group(to);
  const Time sent = leaves_link(from.group, to_group, packet.bytes);
  if (chance_.below(1'000'000) < plan_.conditions.lost_per_million) return;
  if (parted_until(from.group, to_group) > now_) return;
  const Time arrival = sent + delay(from.group, to_group);
  if (plan_.conditions.reordered_per_million > 0 &&
      chance_.below(1'000'000) < plan_.conditions.reordered_per_million) {
    const Time late = stretched(arrival + 1 - now_, 300) + now_;
    from.last_late = std::max(from.last_late, late);
    return post(late, to, packet);
  }
  from.last_arrival = std::max(from.last_arrival, arrival);
  post(from.last_arrival, to, packet);
}

std::uint64_t VirtualTime::Driver::newest(const SimulatedRole& role, SlotRef ref) const {
  if (role.group == plan_.place.group(ref.owner)) return slot(ref).version();
  const auto it = mirrors_.find({role.group, ref});
  return it == mirrors_.end() ? 0 : std::max(it->second->known, it->second->slot.version());
}

void VirtualTime::Driver::record(const SimulatedRole& role, const Event& event) {
  if (plan_.keep_records || std::holds_alternative<FaultEvent>(event))
    records_.push_back({nanoseconds(now_), role.self(), event});
  const auto* elected = std::get_if<LeaderEvent>(&event);
  if (elected && elected->scope == Scope::global && elected->rank != kNobody)
    leader_ = elected->rank;
}

Pin VirtualTime::Driver::leaders() const {
  if (plan_.protocol->has_centre()) return slot({plan_.place.global(), kParameters}).pin();
  return leader_ == kNobody ? Pin() : slot({plan_.place.worker(leader_), kParameters}).pin();
}

VirtualTime::Driver::Mirror& VirtualTime::Driver::mirror(std::uint32_t group, SlotRef ref) {
  auto& m = mirrors_[{group, ref}];
  if (!m) {
    auto arena = Arena::local({.name = "mirror", .slots = {{slot(ref).bytes()}}});
    PACELINE_CHECK(arena, "{}", arena.error().message);
    const Slot copy = arena.value().slot(0);
    m = std::make_unique<Mirror>(Mirror{std::move(arena).value(), copy});
  }
  return *m;
}

// One read for the whole group; who asks meanwhile waits for the same.
void VirtualTime::Driver::read(SimulatedRole& role, SlotRef ref, std::uint64_t at_least) {
  const std::uint32_t owner = plan_.place.group(ref.owner);
  if (role.group == owner) return;
  Mirror& m = mirror(role.group, ref);
  if (at_least != kNewest) m.known = std::max(m.known, at_least);
  if (m.reading || m.slot.version() >= at_least) return;
  m.reading = true;
  ++traffic_.reads;
  const Time sent = std::max(now_, parted_until(role.group, owner));
  schedule(sent + delay(role.group, owner), role.self().index, Kind::sample,
           keep(reads_, free_reads_, Read{role.group, ref}));
}

// ---- time ----

void VirtualTime::Driver::schedule(Time at, std::uint32_t role, Kind kind, std::uint32_t item) {
  (kind == Kind::timer ? timers_ : queue_).push({at, role, item, kind});
}

void VirtualTime::Driver::park(SimulatedRole& role, nanoseconds within) {
  ++role.wait;
  role.deadline = now_ + within.count();
  if (within.count() == 0) {
    polls_.push_back({role.self().index, role.wait});
  } else if (role.timer_at > role.deadline) {  // one timer a role; re-armed when it fires early
    role.timer_at = role.deadline;
    schedule(role.deadline, role.self().index, Kind::timer);
  }
}

VirtualTime::Driver::Time VirtualTime::Driver::stretched(Time duration, std::uint32_t percent) {
  const auto most = static_cast<std::uint64_t>(duration) * percent / 100;
  return most ? duration + static_cast<Time>(chance_.below(most + 1)) : duration;
}

VirtualTime::Driver::Time VirtualTime::Driver::delay(std::uint32_t from_group,
                                                     std::uint32_t to_group) {
  const Conditions& c = plan_.conditions;
  return stretched((from_group == to_group ? c.local_delay : c.remote_delay).count(),
                   c.jitter_percent);
}

VirtualTime::Driver::Time VirtualTime::Driver::leaves_link(std::uint32_t from_group,
                                                           std::uint32_t to_group,
                                                           std::uint64_t bytes) {
  if (from_group == to_group) return now_;
  traffic_.link_bytes += bytes;
  const std::uint64_t rate = plan_.conditions.bytes_per_second;
  if (rate == 0) return now_;
  Time& busy = link_busy_until_[from_group];
  const Time begins = std::max(busy, now_);
  traffic_.queued += nanoseconds(begins - now_);
  return busy = begins + static_cast<Time>(bytes * 1'000'000'000 / rate);
}

VirtualTime::Driver::Time VirtualTime::Driver::parted_until(std::uint32_t a,
                                                            std::uint32_t b) const {
  Time until = 0;
  if (a == b) return until;
  for (const Conditions::Partition& p : plan_.conditions.partitions)
    if ((p.group == a || p.group == b) && p.from.count() <= now_ && now_ < p.until.count())
      until = std::max<Time>(until, p.until.count());
  return until;
}

void VirtualTime::Driver::post(Time at, Address to, const Packet& packet) {
  schedule(at, to.index, Kind::deliver, keep(packets_, free_packets_, packet));
}

// ---- what happens ----

void VirtualTime::Driver::run(nanoseconds every, const std::function<bool()>& go_on) {
  for (auto it = roles_.rbegin(); it != roles_.rend(); ++it) {
    if ((*it)->dead) continue;  // leaders, who come last, listen before workers talk
    (*it)->task.resume();
    settle(**it);
  }
  Time next = every.count();
  while (alive_ > 0 && turn()) {
    if (!go_on || now_ < next) continue;
    next = now_ + every.count();
    if (!go_on()) break;
  }
  for (auto& role : roles_) role->task = {};
}

bool VirtualTime::Driver::turn() {
  const Time next = queue_.earliest();
  if (!polls_.empty() && next > now_) {
    const auto [index, wait] = polls_.front();
    polls_.pop_front();
    SimulatedRole& role = *roles_[index];
    if (role.dead || role.wait != wait) return true;
    ++events_;
    wake(role);
    return true;
  }
  if (queue_.empty() && timers_.empty()) return false;
  EventQueue<Occurrence>& first = next <= timers_.earliest() ? queue_ : timers_;
  const Occurrence o =
      first.pop([this](const Occurrence& ahead, bool is_next) { expect(ahead, is_next); });
  now_ = o.at;
  if (now_ > plan_.conditions.horizon.count()) return false;
  ++events_;
  handle(o);
  return true;
}

void VirtualTime::Driver::expect(const Occurrence& o, bool next) const {
  const auto fetch = [](const void* begin, std::size_t bytes) {
    constexpr std::size_t kLine = 64;
    for (std::size_t at = 0; at < bytes; at += kLine)
      __builtin_prefetch(static_cast<const std::byte*>(begin) + at);
  };
  const SimulatedRole* role = roles_[o.role].get();
  if (!next) {
    fetch(role, sizeof *role);
    if (o.kind == Kind::deliver) fetch(&packets_[o.item], sizeof(Packet));
    return;
  }
  // The operation that it waits for lies in its frame.
  if (role->computing)
    fetch(role->computing->role.address(), kFrameBytes);
  else if (role->receiving)
    fetch(role->receiving->role.address(), kFrameBytes);
}

void VirtualTime::Driver::handle(const Occurrence& o) {
  SimulatedRole& role = *roles_[o.role];
  switch (o.kind) {
    case Kind::ready:
      if (!role.computing || o.item != role.generation) return;
      role.claimed = false;
      role.computing->loss =
          role.engine->gradient(role.computing->at, role.computing->g, role.rng());
      return wake(role);
    case Kind::deliver:
      free_packets_.push_back(o.item);
      return deliver(role, Packet(packets_[o.item]));
    case Kind::timer:
      if (role.timer_at == o.at) role.timer_at = kNever;
      if (role.dead || (!role.receiving && !role.pinning)) return;
      if (role.deadline <= now_) return wake(role);
      if (role.timer_at > role.deadline)
        schedule(role.timer_at = role.deadline, o.role, Kind::timer);
      return;
    case Kind::sample:
      return sample(o);
    case Kind::arrive:
      return arrive(o);
    case Kind::crash:
      if (!role.dead) crash(role, plan_.conditions.crashes[o.item]);
      return;
    case Kind::replace:
      return replace(o.role);
  }
}

void VirtualTime::Driver::deliver(SimulatedRole& role, const Packet& packet) {
  if (role.dead) return send_back(role, packet);
  // Who waits has been through all that its inbox holds.
  ReceiveOp* op = role.receiving;
  if (op && op->wanted.late(packet)) return;
  if (!op || !op->wanted.admits(packet)) return role.inbox.push(packet);
  op->got = packet;
  op->ok = true;
  wake(role);
}

// The request has reached the owner; what it reads stays pinned in transit.
void VirtualTime::Driver::sample(const Occurrence& o) {
  const Read& r = reads_[o.item];
  Mirror& m = mirror(r.group, r.slot);
  m.in_flight = slot(r.slot).pin();
  const std::uint32_t owner = plan_.place.group(r.slot.owner);
  const std::uint64_t bytes = m.in_flight ? m.in_flight.bytes().size() : 0;
  traffic_.read_bytes += bytes;
  const Time sent = leaves_link(owner, r.group, bytes);
  schedule(sent + delay(owner, r.group), o.role, Kind::arrive, o.item);
}

void VirtualTime::Driver::arrive(const Occurrence& o) {
  const Read r = reads_[o.item];
  free_reads_.push_back(o.item);
  Mirror& m = mirror(r.group, r.slot);
  const Pin source = std::exchange(m.in_flight, {});
  m.reading = false;
  if (source && source.version() > m.slot.version())
    if (auto loan = m.slot.loan()) {
      copy_block(loan->bytes(), source.bytes());
      std::move(*loan).publish_as(source.version());
    }
  // A role that is woken may ask again: the lists are taken first.
  const auto waiting = std::exchange(m.waiting, {}), late = std::exchange(m.late, {});
  for (const std::uint32_t role : waiting) serve(m, r.slot, role, true);
  for (const std::uint32_t role : late)
    if (!serve(m, r.slot, role, false)) {
      m.waiting.push_back(role);
      read(*roles_[role], r.slot, roles_[role]->pinning->at_least);
    }
}

// Ends a wait for a pin. False: what it wants is not there, and it may hope for the next read.
bool VirtualTime::Driver::serve(const Mirror& m, SlotRef ref, std::uint32_t waiting,
                                bool last_chance) {
  SimulatedRole& role = *roles_[waiting];
  if (role.dead || !role.pinning || role.pinning->slot != ref) return true;  // it gave up
  PinOp& op = *role.pinning;
  if (op.at_least == kNewest || m.slot.version() >= op.at_least) op.got = m.slot.pin();
  meter(role, op);
  if (!op.got && !last_chance) return false;
  wake(role);
  return true;
}

void VirtualTime::Driver::wake(SimulatedRole& role) {
  ++role.wait;
  role.deadline = kNever;
  std::coroutine_handle<> task;
  if (auto* gradient = std::exchange(role.computing, nullptr))
    task = gradient->role;
  else if (auto* receive = std::exchange(role.receiving, nullptr))
    task = receive->role;
  else
    task = std::exchange(role.pinning, nullptr)->role;
  task.resume();
  settle(role);
}

void VirtualTime::Driver::settle(SimulatedRole& role) {
  if (!role.task.done()) return;
  PACELINE_CHECK(!role.task.error(), "an exception left {}", plan_.place.name(role.self()));
  bury(role, false);
}

void VirtualTime::Driver::crash(SimulatedRole& role, const Conditions::Crash& crash) {
  const bool returns = plan_.place.role(role.self()) == Role::worker && crash.replaced_after > 0ns;
  bury(role, true, returns);
  if (!returns) return;
  const Conditions& c = plan_.conditions;
  const Time last_arrival = role.known_dead_at + std::max(c.local_delay, c.remote_delay).count() *
                                                     (100 + c.jitter_percent) / 100;
  schedule(std::max(now_ + crash.replaced_after.count(), last_arrival + 1), role.self().index,
           Kind::replace);
}

void VirtualTime::Driver::replace(std::uint32_t index) {
  std::unique_ptr<SimulatedRole>& seat = roles_[index];
  auto role = make({index}, seat->generation + 1);
  role->continue_from(seat->steps(), role->rng().state());
  role->first_slot = seat->first_slot;
  role->last_arrival = seat->last_arrival;
  role->wait = seat->wait + 1;
  retired_.push_back(std::exchange(seat, std::move(role)));
  enliven(*seat);
  tell_leaders(*seat, now_, joined_packet({index}));
  seat->task.resume();
  settle(*seat);
}

void VirtualTime::Driver::tell_leaders(const SimulatedRole& worker, Time at, const Packet& news) {
  post(at, plan_.place.leader(worker.group), news);
  post(at, plan_.place.global(), news);
}

/// What a worker did not take is lost: its end is told to all who would ask (RH-3).
void VirtualTime::Driver::send_back(const SimulatedRole& role, const Packet& packet) {
  if (packet.news() || plan_.place.role(role.self()) == Role::worker) return;
  post(std::max(now_, role.known_dead_at), {packet.from}, role.news());
}

void VirtualTime::Driver::bury(SimulatedRole& role, bool crashed, bool returns) {
  role.task = {};
  role.abandon();
  role.dead = true;
  if (std::exchange(role.claimed, false)) --claimed_;
  role.computing = nullptr;
  role.receiving = nullptr;
  role.pinning = nullptr;
  if (!returns) --alive_;
  const Place& place = plan_.place;
  const Address self = role.self();
  role.gone = {self.index, crashed, returns};
  role.known_dead_at =
      std::max(now_ + (crashed ? plan_.conditions.detection.count() : 0),
               std::max(role.last_arrival, role.last_late));  // after all that it sent (RH-3)
  for (Packet p; role.inbox.take({}, p);) send_back(role, p);
  if (place.role(self) == Role::worker)
    tell_leaders(role, role.known_dead_at, role.news());
  else if (place.role(self) == Role::leader)
    post(role.known_dead_at, place.global(), role.news());
}

}  // namespace paceline
