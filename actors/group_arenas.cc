#include "paceline/actors/group_arenas.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <utility>

namespace paceline {
namespace {

constexpr std::size_t kCopiesOfASize = 2;

// What a copy is of: changes of the word (32) | role + 1 (24) | slot (8); the lower half 0: of
// nothing. Counting changes keeps a reader that slept from taking one content for another.
std::uint64_t source_of(std::uint64_t word) { return word & 0xffffffff; }
std::uint64_t encode_source(SlotRef ref) {
  return static_cast<std::uint64_t>(ref.owner.index + 1) << 8 | ref.index;
}
std::uint64_t changed(std::uint64_t word, std::uint64_t source) {
  return ((word >> 32) + 1) << 32 | source;
}

/// For the order of uses alone.
std::uint64_t now() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

}  // namespace

/// On the board of a group's arena, one a copy; written by the courier, but `used`.
struct alignas(64) GroupArenas::CopyWords {
  std::atomic<std::uint64_t> source{0};
  std::atomic<std::uint64_t> used{0};  // wall clock, ns; whoever uses it
};

/// Where everything lies, the same in every process.
struct GroupArenas::Plan {
  std::vector<std::size_t> first_slot, state_slot, slots_end, first_copy;
  std::vector<std::vector<SlotShape>> slots;    // by group
  std::vector<std::vector<DamagedSlot>> named;  // the same slots, undamaged
};

GroupArenas::Plan GroupArenas::plan(const Protocol& protocol, const VectorMath& math,
                                    const Layout& layout, const Place& place, StateBytes state) {
  Plan plan;
  plan.first_slot.resize(place.roles());
  plan.state_slot.resize(place.roles());
  plan.slots_end.resize(place.roles());
  plan.slots.resize(place.groups);
  plan.named.resize(place.groups);
  std::vector<std::set<std::size_t>> elsewhere(place.groups);  // sizes of other groups' slots
  for (std::uint32_t i = 0; i < place.roles(); ++i) {
    const Address a{i};
    if (!protocol.kind(place.role(a))) continue;
    const std::uint32_t home = place.group(a);
    plan.first_slot[i] = plan.slots[home].size();
    auto slots = protocol.slots(place.role(a), math, layout.elements, place);
    if (!slots.empty()) slots[kParameters].bytes += math.bytes(layout.buffer_elements);
    const bool later = place.begins_empty(a);
    for (SlotShape& shape : slots) {
      shape.later = later;
      const std::size_t index = plan.slots[home].size() - plan.first_slot[i];
      plan.named[home].push_back({a,
                                  index == kParameters
                                      ? place.name(a) + "'s parameters"
                                      : fmt::format("{}'s slot {}", place.name(a), index),
                                  {}});
      plan.slots[home].push_back(shape);
      for (std::uint32_t group = 0; group < place.groups; ++group)
        if (group != home) elsewhere[group].insert(shape.bytes);
    }
    plan.state_slot[i] = plan.slots[home].size();
    const Role role = place.role(a);
    const std::size_t bytes = role == Role::worker   ? state.worker
                              : role == Role::global ? state.centre
                                                     : 0;
    if (bytes > 0) {
      plan.slots[home].push_back({bytes, later});
      plan.named[home].push_back({a, place.name(a) + "'s state", {}});
    }
    plan.slots_end[i] = plan.slots[home].size();
  }
  for (std::uint32_t group = 0; group < place.groups; ++group) {
    plan.first_copy.push_back(plan.slots[group].size());
    for (const std::size_t bytes : elsewhere[group])
      plan.slots[group].insert(plan.slots[group].end(), kCopiesOfASize, SlotShape{bytes});
    plan.named[group].resize(plan.slots[group].size(),
                             {{}, fmt::format("group {}'s copy of another's", group), {}});
  }
  return plan;
}

GroupArenas::GroupArenas(const Place& place, Plan plan, std::vector<Group> groups)
    : place_(place),
      first_slot_(std::move(plan.first_slot)),
      state_slot_(std::move(plan.state_slot)),
      slots_end_(std::move(plan.slots_end)),
      groups_(std::move(groups)) {}

std::span<GroupArenas::CopyWords> GroupArenas::Group::copies() const {
  return {reinterpret_cast<CopyWords*>(arena.board().data()), arena.slots() - first_copy};
}

Result<GroupArenas> GroupArenas::create(const Protocol& protocol, const VectorMath& math,
                                        const Layout& layout, const Place& place,
                                        const std::string& name, StateBytes state, bool checksums) {
  Plan planned = plan(protocol, math, layout, place, state);
  std::vector<Group> groups;
  for (std::uint32_t j = 0; j < place.groups; ++j) {
    ArenaOptions options;
    options.name = fmt::format("{}-group{}", name, j);
    options.layout_hash = layout.hash();
    options.slots = planned.slots[j];
    options.pins = std::max<std::size_t>(64, 4 * place.roles());
    const std::size_t copies = options.slots.size() - planned.first_copy[j];
    options.board_bytes = copies * sizeof(CopyWords);
    options.checksums = checksums;
    PACELINE_TRY(Arena arena, Arena::create(options));
    groups.push_back({std::move(arena), planned.first_copy[j], std::move(planned.named[j])});
    for (CopyWords& copy : groups.back().copies()) std::construct_at(&copy);
  }
  return GroupArenas(place, std::move(planned), std::move(groups));
}

Result<GroupArenas> GroupArenas::attach(const Protocol& protocol, const VectorMath& math,
                                        const Layout& layout, const Place& place,
                                        std::span<const std::string> segments, StateBytes state) {
  Plan planned = plan(protocol, math, layout, place, state);
  std::vector<Group> groups;
  for (std::uint32_t j = 0; j < place.groups; ++j) {
    PACELINE_TRY(Arena arena, Arena::attach(segments[j], layout.hash()));
    const std::vector<SlotShape>& slots = planned.slots[j];
    const std::size_t copies = slots.size() - planned.first_copy[j];
    bool same = arena.slots() == slots.size() && arena.board().size() == copies * sizeof(CopyWords);
    for (std::size_t k = 0; same && k < slots.size(); ++k)
      same = arena.slot(k).bytes() == slots[k].bytes;
    if (!same)
      return fail(std::errc::illegal_byte_sequence,
                  "{} has other slots than this protocol and these workers: start both from the "
                  "same options",
                  segments[j]);
    groups.push_back({std::move(arena), planned.first_copy[j], std::move(planned.named[j])});
  }
  return GroupArenas(place, std::move(planned), std::move(groups));
}

std::vector<std::string> GroupArenas::segments() const {
  std::vector<std::string> names;
  for (const Group& group : groups_) names.push_back(group.arena.segment());
  return names;
}

Result<> GroupArenas::reserve(Address seat) {
  Arena& arena = groups_[place_.group(seat)].arena;
  for (std::size_t k = first_slot_[seat.index]; k < slots_end_[seat.index]; ++k)
    PACELINE_TRYV(arena.reserve(k));
  return success();
}

Slot GroupArenas::slot(SlotRef ref) const {
  return groups_[place_.group(ref.owner)].arena.slot(first_slot_[ref.owner.index] + ref.index);
}

Slot GroupArenas::state_slot(Address owner) const {
  return groups_[place_.group(owner)].arena.slot(state_slot_[owner.index]);
}

Pin GroupArenas::pin(std::uint32_t group, SlotRef ref, std::uint64_t at_least) const {
  if (local(group, ref)) return slot(ref).pin();
  const Group& own = groups_[group];
  const std::span<CopyWords> copies = own.copies();
  for (std::size_t k = 0; k < copies.size(); ++k) {
    const std::uint64_t source = copies[k].source.load();
    if (source_of(source) != encode_source(ref)) continue;
    Pin pin = own.arena.slot(own.first_copy + k).pin();
    if (copies[k].source.load() != source) continue;  // written over meanwhile
    copies[k].used.store(now());
    if (pin && (at_least == kNewest || pin.version() >= at_least)) return pin;
  }
  return {};
}

bool GroupArenas::fetch(std::uint32_t group, SlotRef ref) {
  const Pin from = slot(ref).pin();
  if (!from) return false;
  const Group& own = groups_[group];
  const std::span<CopyWords> copies = own.copies();
  std::size_t to = copies.size();
  for (std::size_t k = 0; k < copies.size(); ++k) {
    if (own.arena.slot(own.first_copy + k).bytes() != from.bytes().size()) continue;
    if (source_of(copies[k].source.load()) == encode_source(ref)) {
      to = k;
      break;
    }
    if (to == copies.size() || copies[k].used.load() < copies[to].used.load()) to = k;
  }
  PACELINE_CHECK(to < copies.size(), "group {} has no copy of {} bytes", group,
                 from.bytes().size());
  CopyWords& copy = copies[to];
  const Slot slot = own.arena.slot(own.first_copy + to);
  const std::uint64_t source = copy.source.load();
  const bool same = source_of(source) == encode_source(ref);
  if (same && slot.version() >= from.version()) return true;
  auto loan = slot.loan();
  if (!loan) return false;
  copy_block(loan->bytes(), from.bytes());
  if (!same) copy.source.store(changed(source, 0));  // no longer of the old, not yet of the new
  std::move(*loan).publish_as(from.version());
  if (!same) copy.source.store(changed(copy.source.load(), encode_source(ref)));
  copy.used.store(now());
  return true;
}

std::size_t GroupArenas::clear_pins(const ProcessIdentity& process) {
  std::size_t cleared = 0;
  for (Group& group : groups_) cleared += group.arena.clear_pins(process);
  return cleared;
}

std::vector<DamagedSlot> GroupArenas::damaged() const {
  std::vector<DamagedSlot> found;
  for (const Group& group : groups_)
    for (std::size_t k = 0; k < group.named.size(); ++k)
      if (const SlotDamage damage = group.arena.slot(k).damage(); damage != SlotDamage{}) {
        found.push_back(group.named[k]);
        found.back().damage = damage;
      }
  return found;
}

}  // namespace paceline
