#include "paceline/net/stream/stream_road_internal.h"

#include <utility>

namespace paceline {

StreamRoad::StreamRoad(FrameStream::Socket socket, const Arena& arena, Announcements& announcements,
                       FabricOptions::Checksums checksums)
    : descriptor_(socket.native_handle()),
      stream_(std::make_shared<FrameStream>(std::move(socket),
                                            static_cast<FrameStream::Owner&>(*this))),
      asked_(*stream_, checksums),
      served_(arena, announcements, *stream_) {}

void StreamRoad::start(Road::Owner& owner) {
  owner_ = &owner;
  stream_->start();
}

Result<> StreamRoad::on_read_frame(const Frame& frame) {
  return std::visit(
      [&]<class F>(const F& each) -> Result<> {
        if constexpr (std::is_same_v<F, ReadRequest> || std::is_same_v<F, Acknowledge>)
          return served_.on(each);
        else if constexpr (std::is_same_v<F, ReadBegin> || std::is_same_v<F, Chunk> ||
                           std::is_same_v<F, ReadEnd> || std::is_same_v<F, ReadRefusal>)
          return asked_.on(each);
        else
          return out_of_turn(frame);
      },
      frame);
}

void StreamRoad::on_payload(std::span<const std::byte> bytes) {
  owner_->on_sign_of_life();
  asked_.on_payload(bytes);
}

std::optional<Deadline> StreamRoad::expire_reads(Deadline now, const std::string& peer) {
  const auto asked = asked_.expire(now, peer);
  const auto served = served_.expire(now);
  return asked && served ? std::min(*asked, *served) : asked ? asked : served;
}

}  // namespace paceline
