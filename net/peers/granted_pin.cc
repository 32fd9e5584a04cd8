#include "paceline/net/peers/granted_pin_internal.h"

#include <algorithm>
#include <utility>

namespace paceline {

std::variant<GrantedPin, ReadRefusal> grant_pin(const Arena& arena, Announcements& announcements,
                                                const ReadRequest& request) {
  const auto refusal = [&](ReadRefusalReason reason, std::uint64_t bytes = 0) {
    auto frame = make_frame<ReadRefusal>();
    frame.read = request.read;
    frame.reason = reason;
    frame.bytes = bytes;
    return frame;
  };
  if (request.slot >= arena.slots()) return refusal(ReadRefusalReason::no_such_slot);
  const Slot slot = arena.slot(request.slot);
  if (slot.bytes() != request.bytes) return refusal(ReadRefusalReason::other_size, slot.bytes());
  const auto now = FabricClock::now();
  const Deadline deadline = now + std::chrono::milliseconds(request.within);
  if (auto taken = announcements.take(request.ticket, request.slot, now))
    return GrantedPin{std::move(taken->pin), std::min(deadline, taken->deadline)};
  Pin pin = slot.pin();
  if (!pin)
    return refusal(slot.version() == 0 ? ReadRefusalReason::nothing_published
                                       : ReadRefusalReason::no_pin);
  return GrantedPin{std::move(pin), deadline};
}

}  // namespace paceline
