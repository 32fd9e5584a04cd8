#include <algorithm>
#include <utility>

#include "announcements_internal.h"

namespace paceline {

RemoteSlot Announcements::hold(std::uint32_t slot, Pin pin, Deadline deadline) {
  const std::scoped_lock lock(mutex_);
  const RemoteSlot where{slot, static_cast<std::uint32_t>(pin.buffer()), pin.version(),
                         ++last_ticket_};
  held_.emplace(where.ticket, Held{slot, std::move(pin), deadline});
  return where;
}

std::optional<Announcements::Taken> Announcements::take(std::uint64_t ticket, std::uint32_t slot,
                                                        Deadline now) {
  const std::scoped_lock lock(mutex_);
  const auto found = held_.find(ticket);
  if (found == held_.end() || found->second.slot != slot || found->second.deadline <= now)
    return std::nullopt;
  Taken taken{std::move(found->second.pin), found->second.deadline};
  held_.erase(found);
  return taken;
}

void Announcements::release(std::uint64_t ticket) {
  const std::scoped_lock lock(mutex_);
  held_.erase(ticket);
}

std::optional<Deadline> Announcements::expire(Deadline now) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(held_, [=](const auto& entry) { return entry.second.deadline <= now; });
  if (held_.empty()) return std::nullopt;
  return std::ranges::min_element(held_, {},
                                  [](const auto& entry) { return entry.second.deadline; })
      ->second.deadline;
}

bool Announcements::empty() const {
  const std::scoped_lock lock(mutex_);
  return held_.empty();
}

Result<Pin> pin_newest(const Arena& arena, std::uint32_t slot) {
  if (slot >= arena.slots())
    return fail(std::errc::invalid_argument, "no slot {}: the arena has {}", slot, arena.slots());
  if (Pin pin = arena.slot(slot).pin()) return pin;
  if (arena.slot(slot).version() == 0)
    return fail(std::errc::no_message_available, "nothing was published in slot {}", slot);
  return fail(std::errc::resource_unavailable_try_again,
              "slot {} gives no pin: all its words are taken, or what it holds is damaged", slot);
}

}  // namespace paceline
