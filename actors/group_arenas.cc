#include "paceline/actors/group_arenas.h"

#include <algorithm>
#include <set>

namespace paceline {
namespace {
constexpr std::size_t kCopiesOfASize = 2;
}

Result<GroupArenas> GroupArenas::create(const Protocol& protocol, const VectorMath& math,
                                        const Layout& layout, const Place& place) {
  GroupArenas all;
  all.place_ = place;
  all.first_slot_.resize(place.roles());
  all.groups_.resize(place.groups);
  std::vector<std::vector<SlotShape>> shapes(place.groups);
  std::vector<std::set<std::size_t>> elsewhere(place.groups);  // sizes of other groups' slots
  for (std::uint32_t i = 0; i < place.roles(); ++i) {
    const Address a{i};
    if (!protocol.kind(place.role(a))) continue;
    const std::uint32_t home = place.group(a);
    all.first_slot_[i] = shapes[home].size();
    auto slots = protocol.slots(place.role(a), math, layout.elements, place);
    if (!slots.empty()) slots[kParameters].bytes += math.bytes(layout.buffer_elements);
    for (const SlotShape& shape : slots) {
      shapes[home].push_back(shape);
      for (std::uint32_t group = 0; group < place.groups; ++group)
        if (group != home) elsewhere[group].insert(shape.bytes);
    }
  }
  for (std::uint32_t j = 0; j < place.groups; ++j) {
    ArenaOptions options;
    options.layout_hash = layout.hash();
    const std::size_t first_copy = shapes[j].size();
    options.slots = std::move(shapes[j]);
    for (const std::size_t bytes : elsewhere[j])
      options.slots.insert(options.slots.end(), kCopiesOfASize, SlotShape{bytes});
    const std::size_t slots = options.slots.size();
    options.pins = std::max<std::size_t>(64, 4 * place.roles());
    Result<Arena> arena = fail(std::errc::file_exists, "");
    for (int run = 0; !arena && arena.error().code == std::errc::file_exists; ++run) {
      options.name = fmt::format("run{}-group{}", run, j);  // a process may host several runs
      arena = Arena::create(options);
    }
    if (!arena) return std::move(arena).error();
    all.groups_[j].arena = std::make_unique<Arena>(std::move(arena).value());
    for (std::size_t k = first_copy; k < slots; ++k)
      all.groups_[j].copies.push_back({SlotRef{}, all.groups_[j].arena->slot(k), 0});
  }
  return all;
}

Slot GroupArenas::slot(SlotRef ref) const {
  return groups_[place_.group(ref.owner)].arena->slot(first_slot_[ref.owner.index] + ref.index);
}

Pin GroupArenas::pin(std::uint32_t group, SlotRef ref, std::uint64_t at_least) const {
  if (local(group, ref)) return slot(ref).pin();
  Group& own = groups_[group];
  const std::lock_guard lock(*own.mutex);
  for (Copy& copy : own.copies) {
    if (copy.source != ref) continue;
    copy.used = ++own.uses;
    Pin pin = copy.slot.pin();
    if (pin && (at_least == kNewest || pin.version() >= at_least)) return pin;
  }
  return {};
}

bool GroupArenas::fetch(std::uint32_t group, SlotRef ref) {
  const Pin from = slot(ref).pin();
  if (!from) return false;
  Group& own = groups_[group];
  Copy* to = nullptr;
  {
    const std::lock_guard lock(*own.mutex);
    for (Copy& copy : own.copies) {
      if (copy.slot.bytes() != from.bytes().size()) continue;
      if (copy.source == ref) {
        to = &copy;
        break;
      }
      if (!to || copy.used < to->used) to = &copy;
    }
    PACELINE_CHECK(to, "group {} has no copy of {} bytes", group, from.bytes().size());
    if (to->source == ref && to->slot.version() >= from.version()) return true;
  }
  auto loan = to->slot.loan();
  if (!loan) return false;
  copy_block(loan->bytes(), from.bytes());
  const std::lock_guard lock(*own.mutex);
  std::move(*loan).publish_as(from.version());
  to->source = ref;
  to->used = ++own.uses;
  return true;
}

}  // namespace paceline
