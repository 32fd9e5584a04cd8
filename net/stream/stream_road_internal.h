// The road over a stream: a socket's frames, and reads whose bytes are chunks between them. Private
// to net/. Threading: the I/O thread.
#pragma once

#include <memory>

#include "paceline/net/peers/road_internal.h"
#include "paceline/net/stream/asked_reads_internal.h"
#include "paceline/net/stream/served_reads_internal.h"

namespace paceline {

class StreamRoad final : public Road, private FrameStream::Owner {
 public:
  StreamRoad(FrameStream::Socket socket, const Arena& arena, Announcements& announcements,
             FabricOptions::Checksums checksums);
  ~StreamRoad() override { close(); }

  void start(Road::Owner& owner) override;
  void finish() override { stream_->finish(); }
  void close() override { stream_->close(); }
  int descriptor() const override { return descriptor_; }

  void read(const RemoteSlot& from, Loan loan, Deadline deadline, ReadDone done) override {
    asked_.read(from, std::move(loan), deadline, std::move(done));
  }
  Result<> on_read_frame(const Frame& frame) override;
  bool has_reads() const override { return !asked_.empty() || !served_.empty(); }
  std::optional<Deadline> expire_reads(Deadline now, const std::string& peer) override;
  void end_reads(const Error& error) override { asked_.end_all(error); }

 private:
  void send_frame(std::span<const std::byte> frame) override { stream_->send_bytes(frame); }
  void send_last_frame(std::span<const std::byte> frame) override { stream_->send_now(frame); }

  Result<> on_frame(const Frame& frame) override { return owner_->on_frame(frame); }
  std::span<std::byte> room(std::size_t left) override { return asked_.room(left); }
  void on_payload(std::span<const std::byte> bytes) override;
  std::optional<FrameStream::OutgoingChunk> next_chunk() override { return served_.next_chunk(); }
  void on_end(const Error& error) override { owner_->on_end(error); }

  const int descriptor_;
  const std::shared_ptr<FrameStream> stream_;
  Road::Owner* owner_ = nullptr;
  AskedReads asked_;
  ServedReads served_;
};

}  // namespace paceline
