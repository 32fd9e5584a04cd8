#include "paceline/actors/group_arenas.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <utility>

namespace paceline {
namespace {

constexpr std::size_t kCopiesOfASize = 2, kLettersOfGroups = 4096;

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

  /// Shows a new content of the copy, which may be of another slot than before.
  void put(SlotRef ref, Loan loan, std::uint64_t version) {
    const std::uint64_t before = source.load();
    const bool same = source_of(before) == encode_source(ref);
    if (!same) source.store(changed(before, 0));  // no longer of the old, not yet of the new
    std::move(loan).publish_as(version);
    if (!same) source.store(changed(source.load(), encode_source(ref)));
    used.store(now());
  }
};

/// What this process knows of the slots of seats that begin empty.
struct GroupArenas::Later {
  explicit Later(std::size_t slots) : settled(slots) {}
  std::mutex mutex;
  std::vector<std::atomic<bool>> settled;  // by slot: opened, or never to be
  std::vector<MappedMemory> mapped;
};

/// Where everything lies, the same in every process.
struct GroupArenas::Plan {
  std::vector<std::unique_ptr<DeviceBuffers>> buffers;  // by seat
  std::vector<std::size_t> first_slot, state_slot, slots_end, first_copy;
  std::vector<std::vector<SlotShape>> slots;    // by group
  std::vector<std::vector<DamagedSlot>> named;  // the same slots, undamaged
  std::vector<std::size_t> copies;              // how many, by group
};

GroupArenas::Plan GroupArenas::plan(const Protocol& protocol, const VectorMath& math,
                                    const Layout& layout, const Place& place, StateBytes state,
                                    SlotDevice device, std::optional<std::uint32_t> only) {
  Plan plan;
  if (device.holds_vectors)
    for (Rank seat = 0; seat < place.seats(); ++seat)
      plan.buffers.push_back(std::make_unique<DeviceBuffers>(*device.device, seat));
  /// Where whole vectors of this seat lie.
  const auto memory = [&](Rank seat) -> BufferMemory* {
    return device.holds_vectors ? plan.buffers[seat].get() : nullptr;
  };
  plan.first_slot.resize(place.roles());
  plan.state_slot.resize(place.roles());
  plan.slots_end.resize(place.roles());
  plan.slots.resize(place.groups);
  plan.named.resize(place.groups);
  using Size = std::pair<std::size_t, bool>;            // and whether it is of a whole vector
  std::vector<std::set<Size>> elsewhere(place.groups);  // sizes of other groups' slots
  for (std::uint32_t i = 0; i < place.roles(); ++i) {
    const Address a{i};
    if (!protocol.kind(place.role(a))) continue;
    const std::uint32_t home = place.group(a);
    plan.first_slot[i] = plan.slots[home].size();
    auto slots = protocol.slots(place.role(a), math, layout.elements, place);
    const std::size_t vector_bytes = math.bytes(layout.elements);
    const Rank near = place.role(a) == Role::worker ? a.index : home * place.per_group;
    const bool later = place.begins_empty(a);
    for (SlotShape& shape : slots) {
      const bool whole = shape.bytes == vector_bytes;
      if (whole) shape.memory = memory(near);
      if (&shape == &slots[kParameters]) shape.bytes += math.bytes(layout.buffer_elements);
      shape.later = later;
      const std::size_t index = plan.slots[home].size() - plan.first_slot[i];
      plan.named[home].push_back({a,
                                  index == kParameters
                                      ? place.name(a) + "'s parameters"
                                      : fmt::format("{}'s slot {}", place.name(a), index),
                                  {}});
      plan.slots[home].push_back(shape);
      for (std::uint32_t group = 0; group < place.groups; ++group)
        if (group != home) elsewhere[group].insert({shape.bytes, whole});
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
    for (const auto& [bytes, whole] : elsewhere[group])
      plan.slots[group].insert(
          plan.slots[group].end(), kCopiesOfASize,
          SlotShape{bytes, false, whole ? memory(group * place.per_group) : nullptr});
    plan.copies.push_back(plan.slots[group].size() - plan.first_copy[group]);
    if (only && place.group(place.global()) == group)  // for read()
      plan.slots[group].push_back(
          {math.bytes(layout.elements) + math.bytes(layout.buffer_elements)});
    plan.named[group].resize(plan.slots[group].size(),
                             {{}, fmt::format("group {}'s copy of another's", group), {}});
  }
  return plan;
}

GroupArenas::GroupArenas(const Place& place, const VectorMath& math, SlotDevice device, Plan plan,
                         Groups groups)
    : place_(place),
      math_(&math),
      device_(device),
      buffers_(std::move(plan.buffers)),
      first_slot_(std::move(plan.first_slot)),
      state_slot_(std::move(plan.state_slot)),
      slots_end_(std::move(plan.slots_end)),
      groups_(std::move(groups)) {
  for (const auto& slots : plan.slots) {
    std::vector<std::size_t>& bytes = bytes_.emplace_back();
    for (const SlotShape& shape : slots) bytes.push_back(shape.bytes);
  }
  for (auto& group : groups_)
    if (group) group->later = std::make_shared<Later>(group->arena.slots());
}

std::span<GroupArenas::CopyWords> GroupArenas::Group::copies() const {
  return {reinterpret_cast<CopyWords*>(arena.board().data()), copy_count};
}

Result<GroupArenas> GroupArenas::create(const Protocol& protocol, const VectorMath& math,
                                        const Layout& layout, const Place& place,
                                        const std::string& name, StateBytes state, bool checksums,
                                        SlotDevice device, std::optional<std::uint32_t> only) {
  Plan planned = plan(protocol, math, layout, place, state, device, only);
  Groups groups(place.groups);
  for (std::uint32_t j = only.value_or(0); j < (only ? *only + 1 : place.groups); ++j) {
    ArenaOptions options;
    options.name = fmt::format("{}-group{}", name, j);
    options.layout_hash = layout.hash();
    options.slots = planned.slots[j];
    options.pins = std::max<std::size_t>(64, 4 * place.roles());
    if (only) options.mailboxes.push_back({kLettersOfGroups});
    options.board_bytes = planned.copies[j] * sizeof(CopyWords);
    options.checksums = checksums;
    PACELINE_TRY(Arena arena, Arena::create(options));
    groups[j] = std::make_unique<Group>(
        Group{std::move(arena), planned.first_copy[j], std::move(planned.named[j])});
    groups[j]->copy_count = planned.copies[j];
    for (CopyWords& copy : groups[j]->copies()) std::construct_at(&copy);
  }
  GroupArenas made(place, math, device, std::move(planned), std::move(groups));
  PACELINE_TRYV(made.map());
  return made;
}

Result<GroupArenas> GroupArenas::attach(const Protocol& protocol, const VectorMath& math,
                                        const Layout& layout, const Place& place,
                                        std::span<const std::string> segments, StateBytes state,
                                        SlotDevice device, std::optional<std::uint32_t> only) {
  Plan planned = plan(protocol, math, layout, place, state, device, only);
  Groups groups(place.groups);
  for (std::uint32_t j = only.value_or(0); j < (only ? *only + 1 : place.groups); ++j) {
    PACELINE_TRY(Arena arena,
                 Arena::attach(segments[j], layout.hash(),
                               planned.buffers.empty() ? nullptr : planned.buffers[0].get()));
    const std::vector<SlotShape>& slots = planned.slots[j];
    bool same = arena.slots() == slots.size() &&
                arena.board().size() == planned.copies[j] * sizeof(CopyWords);
    for (std::size_t k = 0; same && k < slots.size(); ++k)
      same = arena.slot(k).bytes() == slots[k].bytes &&
             arena.slot(k).is_elsewhere() == (slots[k].memory != nullptr);
    if (!same)
      return fail(std::errc::illegal_byte_sequence,
                  "{} has other slots than this protocol and these workers: start both from the "
                  "same options",
                  segments[j]);
    groups[j] = std::make_unique<Group>(
        Group{std::move(arena), planned.first_copy[j], std::move(planned.named[j])});
    groups[j]->copy_count = planned.copies[j];
  }
  GroupArenas made(place, math, device, std::move(planned), std::move(groups));
  PACELINE_TRYV(made.map());
  return made;
}

/// For every device that computes in this process.
Result<> GroupArenas::map(std::span<std::byte> memory, std::vector<MappedMemory>& to) const {
  std::vector<Device*> devices = device_.more;
  if (device_.device != nullptr) devices.push_back(device_.device);
  for (Device* const device : devices) {
    PACELINE_TRY(auto mapped, MappedMemory::map(*device, memory));
    to.push_back(std::move(mapped));
  }
  return success();
}

/// What has memory from the beginning.
Result<> GroupArenas::map() {
  for (auto& group : groups_)
    if (group) PACELINE_TRYV(map(group->arena.memory_at_first(), group->mapped));
  return success();
}

/// @pre group.later's mutex is held
Result<> GroupArenas::map_later(const Group& group, std::size_t index) const {
  const std::span<std::byte> memory = group.arena.memory_for_later(index);
  if (memory.empty()) return success();
  return map(memory, group.later->mapped);
}

/// Gets this process a slot of a seat that began empty, once somebody has reserved it.
void GroupArenas::open(const Group& group, std::size_t index) const {
  Later& later = *group.later;
  if (later.settled[index].load() || !group.arena.is_reserved(index)) return;
  const std::lock_guard lock(later.mutex);
  if (later.settled[index].load()) return;
  Result<> opened = map_later(group, index);
  if (opened) opened = group.arena.open(index);
  if (!opened)
    spdlog::error("{} cannot be read in this process: {}", group.named[index].what,
                  opened.error().message);
  later.settled[index].store(true);
}

std::vector<std::string> GroupArenas::segments() const {
  std::vector<std::string> names;
  for (const auto& group : groups_) names.push_back(group ? group->arena.segment() : std::string());
  return names;
}

Result<> GroupArenas::reserve(Address seat) {
  Group& group = *groups_[place_.group(seat)];
  const std::lock_guard lock(group.later->mutex);
  for (std::size_t k = first_slot_[seat.index]; k < slots_end_[seat.index]; ++k) {
    if (group.later->settled[k].load()) continue;
    PACELINE_TRYV(group.arena.reserve(k));
    PACELINE_TRYV(map_later(group, k));
    group.later->settled[k].store(true);
  }
  return success();
}

Slot GroupArenas::slot(SlotRef ref) const {
  const Group& group = *groups_[place_.group(ref.owner)];
  const std::size_t index = first_slot_[ref.owner.index] + ref.index;
  if (place_.begins_empty(ref.owner)) open(group, index);
  return group.arena.slot(index);
}

Slot GroupArenas::state_slot(Address owner) const {
  const Group& group = *groups_[place_.group(owner)];
  const std::size_t index = state_slot_[owner.index];
  if (place_.begins_empty(owner)) open(group, index);
  return group.arena.slot(index);
}

Pin GroupArenas::pin(std::uint32_t group, SlotRef ref, std::uint64_t at_least) const {
  if (local(group, ref)) return slot(ref).pin();
  const Group& own = *groups_[group];
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

/// Of what one slot holds into another of its kind.
void GroupArenas::carry(std::span<std::byte> to, const Pin& from, bool elsewhere) const {
  if (!elsewhere) return copy_block(to, from.bytes());
  const std::size_t count =
      to.size() / math_->bytes(1);  // a whole vector and the buffers behind it
  math_->copy({to.data(), count}, {from.bytes().data(), count});
  math_->finish();
}

/// Which copy is to hold a slot: the one that does, else the one used longest ago.
std::size_t GroupArenas::choose_copy(const Group& own, SlotRef ref, std::size_t bytes,
                                     bool elsewhere) const {
  const std::span<CopyWords> copies = own.copies();
  std::size_t to = copies.size();
  for (std::size_t k = 0; k < copies.size(); ++k) {
    const Slot held = own.arena.slot(own.first_copy + k);
    if (held.bytes() != bytes || held.is_elsewhere() != elsewhere) continue;
    if (source_of(copies[k].source.load()) == encode_source(ref)) return k;
    if (to == copies.size() || copies[k].used.load() < copies[to].used.load()) to = k;
  }
  PACELINE_CHECK(to < copies.size(), "no copy of {} bytes", bytes);
  return to;
}

bool GroupArenas::fetch(std::uint32_t group, SlotRef ref, std::uint64_t at_least) {
  const Group& own = *groups_[group];
  if (!here(ref.owner)) return fetch_remote(own, ref, at_least);
  const Slot source_slot = slot(ref);
  const Pin from = source_slot.pin();
  if (!from) return false;
  const std::size_t to = choose_copy(own, ref, from.bytes().size(), source_slot.is_elsewhere());
  const Slot slot = own.arena.slot(own.first_copy + to);
  CopyWords& copy = own.copies()[to];
  if (source_of(copy.source.load()) == encode_source(ref) && slot.version() >= from.version())
    return true;
  auto loan = slot.loan();
  if (!loan) return false;
  carry(loan->bytes(), from, slot.is_elsewhere());
  copy.put(ref, std::move(*loan), from.version());
  return true;
}

bool GroupArenas::fetch_remote(const Group& own, SlotRef ref, std::uint64_t at_least) {
  const std::uint32_t home = place_.group(ref.owner);
  const std::size_t index = first_slot_[ref.owner.index] + ref.index;
  const std::size_t to = choose_copy(own, ref, bytes_[home][index], false);
  const Slot slot = own.arena.slot(own.first_copy + to);
  CopyWords& copy = own.copies()[to];
  if (at_least != kNewest && source_of(copy.source.load()) == encode_source(ref) &&
      slot.version() >= std::max<std::uint64_t>(at_least, 1))
    return true;
  auto loan = slot.loan();
  if (!loan) return false;
  auto arrival = remote_(ref, static_cast<std::uint32_t>(index), std::move(*loan), true);
  if (!arrival) return false;
  copy.put(ref, std::move(arrival.value().loan), arrival.value().version);
  return true;
}

Result<Pin> GroupArenas::read(SlotRef ref) {
  const std::uint32_t home = place_.group(ref.owner);
  Pin pin;
  if (here(ref.owner)) {
    const Slot from = slot(ref);
    pin = from.pin();
    if (!pin && from.version() == 0)
      return fail(std::errc::no_message_available, "{} has published nothing yet",
                  place_.name(ref.owner));
  } else {
    const std::size_t index = first_slot_[ref.owner.index] + ref.index;
    const Group& own = *groups_[place_.group(place_.global())];
    const Slot to = own.arena.slot(own.arena.slots() - 1);
    PACELINE_CHECK(to.bytes() == bytes_[home][index], "parameters of {} bytes alone are read so",
                   to.bytes());
    auto loan = to.loan();
    if (loan) {
      PACELINE_TRY(auto arrival,
                   remote_(ref, static_cast<std::uint32_t>(index), std::move(*loan), false));
      std::move(arrival.loan).publish_as(arrival.version);
      pin = to.pin();
    }
  }
  if (!pin)
    return fail(
        std::errc::resource_unavailable_try_again,
        "the newest parameters of {} cannot be read: their checksum does not match, all "
        "pins are taken, or their memory cannot be had here: resume the run from a checkpoint",
        place_.name(ref.owner));
  return pin;
}

std::size_t GroupArenas::clear_pins(const ProcessIdentity& process) {
  std::size_t cleared = 0;
  for (auto& group : groups_)
    if (group) cleared += group->arena.clear_pins(process);
  return cleared;
}

std::vector<DamagedSlot> GroupArenas::damaged() const {
  std::vector<DamagedSlot> found;
  for (const auto& group : groups_)
    for (std::size_t k = 0; group && k < group->named.size(); ++k)
      if (const SlotDamage damage = group->arena.slot(k).damage(); damage != SlotDamage{}) {
        found.push_back(group->named[k]);
        found.back().damage = damage;
      }
  return found;
}

}  // namespace paceline
