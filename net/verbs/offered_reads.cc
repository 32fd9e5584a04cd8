#include "paceline/net/verbs/offered_reads_internal.h"

#define XXH_INLINE_ALL  // header only: nothing for consumers to link
#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "paceline/net/arena_layout_internal.h"

namespace paceline {

ArenaOffer OfferedReads::introduction() const {
  const auto memory = arena_.memory_at_first();
  auto& header = *reinterpret_cast<ArenaHeader*>(memory.data());
  auto frame = make_frame<ArenaOffer>();
  frame.address = reinterpret_cast<std::uint64_t>(memory.data());
  frame.bytes = memory.size();
  frame.first_slot = sizeof(ArenaHeader);
  frame.slot_stride = ArenaHeader::slot_stride(header.pins);
  frame.key = device_.arena_region().rkey;
  frame.slots = static_cast<std::uint32_t>(arena_.slots());
  frame.ordered = device_.is_ordered() ? 1 : 0;
  return frame;
}

Result<> OfferedReads::on(const ReadRequest& frame) {
  if (frame.read <= last_read_)
    return fail(std::errc::protocol_error, "read {} after read {}", frame.read, last_read_);
  if (pins_.size() >= Fabric::kMostInFlight)
    return fail(std::errc::protocol_error, "more than {} reads at a time", Fabric::kMostInFlight);
  last_read_ = frame.read;
  auto granted = grant_pin(arena_, announcements_, frame);
  if (const auto* refusal = std::get_if<ReadRefusal>(&granted)) {
    road_.send(*refusal);
    return success();
  }
  auto& pin = std::get<GrantedPin>(granted);
  const auto bytes = pin.pin.bytes();
  const auto region = bytes.empty() ? Result<ibv_mr*>(nullptr) : device_.region_of(bytes);
  if (!region) {
    auto refusal = make_frame<ReadRefusal>();
    refusal.read = frame.read;
    refusal.reason = ReadRefusalReason::no_pin;
    road_.send(refusal);
    return success();
  }
  auto offer = make_frame<ReadOffer>();
  offer.read = frame.read;
  offer.version = pin.pin.version();
  offer.bytes = bytes.size();
  offer.address = reinterpret_cast<std::uint64_t>(bytes.data());
  if (frame.checksum != 0) offer.checksum = XXH3_64bits(bytes.data(), bytes.size());
  offer.key = region.value() == nullptr ? 0 : region.value()->rkey;
  offer.buffer = static_cast<std::uint32_t>(pin.pin.buffer());
  pins_.emplace(frame.read, std::move(pin));
  road_.send(offer);
  return success();
}

Result<> OfferedReads::on(const Acknowledge& frame) {
  if (frame.ticket != 0) announcements_.release(frame.ticket);
  pins_.erase(frame.read);
  return success();
}

std::optional<Deadline> OfferedReads::expire(Deadline now) {
  std::erase_if(pins_, [=](const auto& each) { return each.second.deadline <= now; });
  if (pins_.empty()) return std::nullopt;
  return std::ranges::min_element(pins_, {}, [](const auto& each) { return each.second.deadline; })
      ->second.deadline;
}

}  // namespace paceline
