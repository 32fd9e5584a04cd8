#include "paceline/actors/simulation/replay.h"

#include <algorithm>
#include <bit>
#include <exception>

#include "paceline/layers/checksum.h"
#include "replay_internal.h"

namespace paceline {
namespace {

std::string words(CourseEntry::Kind kind) {
  using Kind = CourseEntry::Kind;
  switch (kind) {
    case Kind::gradient:
      return "takes a gradient";
    case Kind::received:
      return "waits for a message";
    case Kind::pinned:
      return "waits for a pin";
    case Kind::took:
      return "looks for a message";
    case Kind::held:
      return "looks for a pin";
    case Kind::newest:
      return "asks for the newest version";
    case Kind::running:
      return "asks whether to go on";
    case Kind::loaned:
      return "publishes";
    case Kind::rate:
      return "asks for its learning rate";
    default:
      return "ends";
  }
}

bool is_packet(const CourseEntry& entry, const Packet& packet) {
  return packet.from == entry.other && packet.kind == entry.word && packet.round == entry.value;
}
SlotRef slot_of(const CourseEntry& entry) { return {{entry.other}, entry.word}; }

}  // namespace

// ---- what roles ask for ----

const CourseEntry& Replay::Stage::ReplayedRole::next(Kind kind) const {
  const CourseEntry* entry = peek();
  if (entry == nullptr || entry->kind != kind) throw misfit(kind);
  ++at;
  return *entry;
}

Replay::Stage::Misfit Replay::Stage::ReplayedRole::misfit(Kind asked) const {
  const CourseEntry* entry = peek();
  return {fmt::format("{} where the course says that it {}", words(asked),
                      entry ? words(entry->kind) : "does no more")};
}

bool Replay::Stage::ReplayedRole::start(PinOp& op) {
  if (op.role) return pinning = &op, false;
  const CourseEntry& entry = next(Kind::held);
  if (slot_of(entry) != op.slot) throw Misfit{"looks for a pin of another slot than in the course"};
  op.got = stage.pin(op.slot, entry.value);
  return true;
}

bool Replay::Stage::ReplayedRole::take(const Wanted& wanted, Packet& out) {
  const CourseEntry& entry = next(Kind::took);
  if (entry.word == CourseEntry::kNothing) return false;
  if (!(wanted.kinds >> entry.word & 1))
    throw Misfit{"looks for another message than in the course"};
  const auto it = std::ranges::find_if(inbox, [&](const Packet& p) { return is_packet(entry, p); });
  if (it == inbox.end()) throw Misfit{"looks for a message that nobody has sent"};
  out = *it;
  inbox.erase(it);
  return true;
}

std::uint64_t Replay::Stage::ReplayedRole::newest(SlotRef slot) const {
  const CourseEntry& entry = next(Kind::newest);
  if (slot_of(entry) != slot)
    throw Misfit{"asks for the newest version of another slot than in the course"};
  return entry.value;
}

std::optional<Loan> Replay::Stage::ReplayedRole::loan(std::uint32_t index) {
  const CourseEntry& entry = next(Kind::loaned);
  if (entry.word != index) throw Misfit{"publishes in another slot than in the course"};
  if (entry.value == 0) return std::nullopt;
  stage.keep({self(), index});
  return slot(index).loan();
}

double Replay::Stage::ReplayedRole::learning_rate() {
  const RunOptions& options = stage.training_.options();
  if (options.schedule.constant()) return options.sgd.learning_rate;
  return std::bit_cast<double>(next(Kind::rate).value);
}

Vector Replay::Stage::ReplayedRole::allocate(std::string_view name) {
  auto made = stage.training_.context().device->allocate(math().bytes(dimension()));
  if (!made) throw std::runtime_error(made.error().message);
  const Vector v{made.value()->data(), dimension()};
  memory.push_back(std::move(made).value());
  if (name == "x") math().copy(v, ConstVector(stage.training_.initial().data(), dimension()));
  return v;
}

void Replay::Stage::ReplayedRole::write_buffers(std::span<std::byte> to) {
  if (!engine) return;
  const ConstVector buffers = engine->buffers();
  math().copy({to.data(), buffers.count}, buffers);
}

void Replay::Stage::send(ReplayedRole& from, Address to, const Packet& packet) {
  ReplayedRole& role = *roles_[to.index];
  if (!role.ended) return role.inbox.push_back(packet);
  if (course_.head.place.role(to) == Role::worker || packet.news()) return;
  from.inbox.push_back(role.gone);
}

// ---- versions ----

void Replay::Stage::count_pins() {
  for (const CourseEntry& entry : course_.entries)
    if ((entry.kind == Kind::pinned || entry.kind == Kind::held) && entry.value > 0)
      ++kept_[{slot_of(entry), entry.value}].wanted;
}

bool Replay::Stage::published(SlotRef slot, std::uint64_t version) const {
  const auto it = kept_.find({slot, version});
  return (it != kept_.end() && it->second.arena) ||
         roles_[slot.owner.index]->slot(slot.index).version() == version;
}

void Replay::Stage::keep(SlotRef ref) {
  for (auto it = kept_.lower_bound({ref, 0}); it != kept_.end() && it->first.first == ref;) {
    const Kept& kept = it->second;
    const bool over = kept.wanted == 0 && (!kept.arena || kept.arena->slot(0).pins() == 0);
    it = over ? kept_.erase(it) : std::next(it);
    if (it != kept_.end() && !it->second.arena && it->second.wanted > 0) break;  // of later ones
  }
  const Slot slot = roles_[ref.owner.index]->slot(ref.index);
  const auto it = kept_.find({ref, slot.version()});
  if (it == kept_.end() || it->second.arena) return;
  const Pin newest = slot.pin();
  auto arena = Arena::local({.name = "kept",
                             .slots = {{slot.bytes()}},
                             .pins = std::max<std::size_t>(64, 2 * roles_.size())});
  PACELINE_CHECK(arena, "{}", arena.error().message);
  auto loan = arena.value().slot(0).loan();
  copy_block(loan->bytes(), newest.bytes());
  std::move(*loan).publish_as(newest.version());
  it->second.arena = std::move(arena).value();
}

Pin Replay::Stage::pin(SlotRef slot, std::uint64_t version) {
  if (version == 0) return {};
  if (!published(slot, version)) throw Misfit{"pins a version that nobody has published"};
  keep(slot);
  Kept& kept = kept_.at({slot, version});
  --kept.wanted;
  return kept.arena->slot(0).pin();
}

// ---- what happens ----

/// Whether all is there that the role gets before it waits again.
bool Replay::Stage::ready(const ReplayedRole& role) const {
  std::vector<bool> used(role.inbox.size());
  bool first = role.computing || role.receiving || role.pinning;
  for (std::size_t at = role.at; at < role.entries.size(); ++at) {
    const CourseEntry& entry = course_.entries[role.entries[at]];
    if (entry.awaited() && !std::exchange(first, false)) return true;
    if ((entry.kind == Kind::received || entry.kind == Kind::took) &&
        entry.word != CourseEntry::kNothing) {
      std::size_t k = 0;
      while (k < used.size() && (used[k] || !is_packet(entry, role.inbox[k]))) ++k;
      if (k == used.size()) return false;
      used[k] = true;
    }
    const bool pins = entry.kind == Kind::pinned || entry.kind == Kind::held;
    if (pins && entry.value > 0 && !published(slot_of(entry), entry.value)) return false;
  }
  return true;
}

void Replay::Stage::live(ReplayedRole& role) {
  std::coroutine_handle<> parked;
  if (role.computing) {
    const CourseEntry& entry = role.next(Kind::gradient);
    GradientOp& op = *std::exchange(role.computing, nullptr);
    op.loss = role.engine->gradient(op.at, op.g, role.rng());
    const auto before = std::bit_cast<double>(entry.value);
    if (std::bit_cast<std::uint64_t>(op.loss) != entry.value)
      differs(fmt::format("{}'s loss at its step {} is {:.9g}, and was {:.9g} in the run",
                          course_.head.place.name(role.self()), role.steps() + 1, op.loss, before));
    parked = op.role;
  } else if (role.receiving) {
    const CourseEntry& entry = role.next(Kind::received);
    ReceiveOp& op = *std::exchange(role.receiving, nullptr);
    op.ok = entry.word != CourseEntry::kNothing;
    if (op.ok) {
      if (!(op.wanted.kinds >> entry.word & 1))
        throw Misfit{"waits for another message than in the course"};
      const auto it =
          std::ranges::find_if(role.inbox, [&](const Packet& p) { return is_packet(entry, p); });
      op.got = *it;
      role.inbox.erase(it);
    }
    parked = op.role;
  } else if (role.pinning) {
    const CourseEntry& entry = role.next(Kind::pinned);
    PinOp& op = *std::exchange(role.pinning, nullptr);
    if (slot_of(entry) != op.slot)
      throw Misfit{"waits for a pin of another slot than in the course"};
    op.got = pin(op.slot, entry.value);
    parked = op.role;
  } else {
    role.task = training_.context().protocol->kind(role.place().role(role.self())).start(role);
    role.task.resume();
  }
  if (parked) parked.resume();
  if (const std::exception_ptr error = role.task.error()) std::rethrow_exception(error);
  settle(role);
}

/// Tells the leaders of a role that has ended (RH-3).
void Replay::Stage::settle(ReplayedRole& role) {
  if (!role.task.done()) return;
  const std::uint64_t steps = role.next(Kind::ended).value;
  const Place& place = course_.head.place;
  const Address self = role.self();
  if (place.role(self) == Role::worker && steps != role.steps())
    throw Misfit{fmt::format("ends, and took {} steps in the run", steps)};
  role.ended = true;
  role.gone = gone_packet(self, false);
  const std::deque<Packet> left = std::exchange(role.inbox, {});
  for (const Packet& packet : left)
    if (!packet.news()) send(*roles_[packet.from], self, packet);
  std::vector<Address> told;
  if (place.role(self) == Role::worker) told.push_back(place.leader(place.group(self)));
  if (self != place.global()) told.push_back(place.global());
  for (const Address to : told)
    if (!roles_[to.index]->ended) roles_[to.index]->inbox.push_back(role.gone);
}

Error Replay::Stage::wrong(const ReplayedRole& role, const std::string& what) const {
  return fail(std::errc::invalid_argument, "the course does not fit: {}, after {} steps, {}{}",
              course_.head.place.name(role.self()), role.steps(), what,
              difference_.empty() ? "" : "; before that, " + difference_);
}

/// Of those who wait for ever, who was to go on first.
std::string Replay::Stage::stuck() const {
  const ReplayedRole* first = nullptr;
  for (const auto& role : roles_)
    if (!role->ended && role->peek() &&
        (!first || role->entries[role->at] < first->entries[first->at]))
      first = role.get();
  const CourseEntry& entry = *first->peek();
  const Place& place = course_.head.place;
  std::string what = words(entry.kind);
  if (entry.kind == Kind::received || entry.kind == Kind::took)
    what += fmt::format(" from {}, of round {}, that is never sent", place.name({entry.other}),
                        entry.value);
  else if (entry.kind == Kind::pinned || entry.kind == Kind::held)
    what += fmt::format(" of version {} of {}, that is never published", entry.value,
                        place.name({entry.other}));
  else
    what += ", then for something that never comes";
  return wrong(*first, what).message;
}

Result<> Replay::Stage::run() {
  using Next = std::pair<std::uint64_t, std::uint32_t>;  // of the course, and whose
  std::priority_queue<Next, std::vector<Next>, std::greater<>> next;
  std::vector<Next> blocked;
  const auto wait = [&](const ReplayedRole& role) {
    if (!role.ended && role.peek()) next.emplace(role.entries[role.at], role.self().index);
  };
  for (const auto& role : roles_) wait(*role);
  while (!next.empty()) {
    const auto [at, index] = next.top();
    next.pop();
    ReplayedRole& role = *roles_[index];
    if (!ready(role)) {
      blocked.emplace_back(at, index);
      continue;
    }
    lived_ = static_cast<std::int64_t>(at);
    try {
      live(role);
      if (role.ended && role.peek()) throw role.misfit(Kind::ended);
    } catch (const Misfit& misfit) {
      return wrong(role, misfit.text);
    } catch (const std::exception& error) {
      return wrong(role, fmt::format("ended: {}", error.what()));
    }
    wait(role);
    for (const Next& again : std::exchange(blocked, {})) next.push(again);
  }
  if (!blocked.empty()) return fail(std::errc::invalid_argument, "{}", stuck());
  if (!leader_) return success();
  const Pin pin = roles_[leader_->role]->slot(kParameters).pin();
  const std::string_view bytes(reinterpret_cast<const char*>(pin.bytes().data()),
                               pin.bytes().size());
  if (checksum(bytes) != leader_->value)
    differs(fmt::format("what {} published last has other bits than in the run",
                        course_.head.place.name({leader_->role})));
  return success();
}

// ---- building ----

Result<> Replay::Stage::refuse_unlike() const {
  const RunContext& context = training_.context();
  const Network& network = context.network;
  if (course_.head.layout != network.layout().hash())
    return fail(std::errc::invalid_argument,
                "the course is of another network than {} (or other sizes of it): give the run's",
                network.name());
  if (course_.head.data != data_hash(context.data))
    return fail(std::errc::invalid_argument, "the course is of other data than {}: give the run's",
                context.data.name);
  const Place &place = course_.head.place, &given = context.place;
  if (place.groups != given.groups || place.per_group != given.per_group ||
      place.spare != given.spare)
    return fail(std::errc::invalid_argument,
                "the course is of {} workers in {} groups, and {} in {} are given", place.workers(),
                place.groups, given.workers(), given.groups);
  for (const CourseEntry& entry : course_.entries) {
    const std::string who = place.name({entry.role});
    const char* what = entry.kind == Kind::came_later    ? "took another's place, or was added"
                       : entry.kind == Kind::began_again ? "began again from its leader"
                       : entry.kind == Kind::ended && entry.word ? "ended before its time"
                                                                 : nullptr;
    if (what)
      return fail(std::errc::not_supported,
                  "the course cannot be lived again: {} {} after {} steps", who, what, entry.value);
  }
  return success();
}

Result<> Replay::Stage::furnish() {
  PACELINE_TRYV(refuse_unlike());
  const RunContext& context = training_.context();
  const Place& place = context.place;
  for (std::uint32_t i = 0; i < place.roles(); ++i) {
    const Address self{i};
    const Role kind = place.role(self);
    RoleSetup setup{self,
                    place,
                    context.hyper.get(),
                    &training_.math(),
                    training_.dimension(),
                    training_.options().sgd,
                    training_.options().clip_norm,
                    training_.options().seed};
    auto role = std::make_unique<ReplayedRole>(*this, setup);
    role->ended = !context.protocol->kind(kind) || place.begins_empty(self);
    if (!role->ended) {
      ArenaOptions options{.name = "replayed"};
      options.slots = context.protocol->slots(kind, training_.math(), training_.dimension(), place);
      if (!options.slots.empty())
        options.slots[kParameters].bytes += training_.math().bytes(training_.buffers());
      PACELINE_TRY(role->arena, Arena::local(options));
      if (kind == Role::worker) role->engine = training_.engine(i);
    }
    roles_.push_back(std::move(role));
  }
  for (std::uint64_t at = 0; at < course_.entries.size(); ++at) {
    const CourseEntry& entry = course_.entries[at];
    if (entry.kind == Kind::leader)
      leader_ = entry;
    else
      roles_[entry.role]->entries.push_back(at);
  }
  count_pins();
  return success();
}

// ---- the outside ----

Result<Replay> Replay::create(const Course& course, Training& training) {
  Replay made(std::make_unique<Stage>(course, training));
  PACELINE_TRYV(made.stage_->furnish());
  return made;
}
Replay::Replay(std::unique_ptr<Stage> stage) : stage_(std::move(stage)) {}
Replay::Replay(Replay&&) noexcept = default;
Replay& Replay::operator=(Replay&&) noexcept = default;
Replay::~Replay() = default;

Result<> Replay::run() { return stage_->run(); }
RoleHost& Replay::role(Address who) { return *stage_->roles_[who.index]; }
Address Replay::leading() const {
  return stage_->leader_ ? Address{stage_->leader_->role} : Address{};
}
Pin Replay::result() const {
  if (!stage_->leader_) return {};
  return stage_->roles_[stage_->leader_->role]->slot(kParameters).pin();
}
const std::string& Replay::difference() const { return stage_->difference_; }
const std::vector<Replay::Record>& Replay::records() const { return stage_->records_; }

std::uint64_t Replay::steps() const {
  std::uint64_t sum = 0;
  for (const auto& role : stage_->roles_) sum += role->steps();
  return sum;
}
std::uint64_t Replay::count(std::string_view name) const {
  std::uint64_t sum = 0;
  for (const auto& role : stage_->roles_)
    if (const auto it = role->counts().find(name); it != role->counts().end()) sum += it->second;
  return sum;
}

}  // namespace paceline
