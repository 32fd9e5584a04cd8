// The road over a queue pair: a SEND a frame, and reads by READs. Private to net/verbs. Threading: the
// I/O thread.
//   VR-1 A frame is sent only when the peer has a receive for it (VB-5): each side starts with kCredits,
//        and gets back what the other has used up by credit frames. The last two are for these, so that
//        both sides can always give back.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "paceline/net/peers/road_internal.h"
#include "paceline/net/verbs/far_reads_internal.h"
#include "paceline/net/verbs/offered_reads_internal.h"

namespace paceline {

class VerbsRoad final : public Road, private QueuePair::Owner {
 public:
  /// Takes a queue pair whose last words are on their way, until they have gone.
  using Linger = std::function<void(std::shared_ptr<QueuePair>)>;

  VerbsRoad(Turns& turns, std::shared_ptr<QueuePair> pair, const Arena& arena,
            Announcements& announcements, FabricOptions::Checksums checksums, Linger linger);
  ~VerbsRoad() override { close(); }

  void start(Road::Owner& owner) override;
  void finish() override {}  // the peer closes when it has heard it
  void close() override;
  std::string route() const override { return route_; }

  void introduce() override;
  Result<bool> on_introduction(const Frame& frame) override;
  bool is_introduced() const override { return asked_.is_introduced(); }

  void read(const RemoteSlot& from, Loan loan, Deadline deadline, ReadDone done) override {
    asked_.read(from, std::move(loan), deadline, std::move(done));
  }
  Result<> on_read_frame(const Frame& frame) override;
  bool has_reads() const override { return !asked_.empty() || !offered_.empty(); }
  std::optional<Deadline> expire_reads(Deadline now, const std::string& peer) override;
  void end_reads(const Error& error) override { asked_.end_all(error); }

 private:
  void send_frame(std::span<const std::byte> frame) override;
  void send_last_frame(std::span<const std::byte> frame) override;

  void on_received(std::span<const std::byte> frame) override;
  void on_read(std::uint64_t number) override;
  void on_room() override;
  void on_end(const Error& error) override;

  void send_what_waits();
  void give_credit();
  void end_soon(const Error& error);

  Turns& turns_;
  std::shared_ptr<QueuePair> pair_;
  VerbsDevice& device_;
  const Linger linger_;
  const std::string route_;
  Road::Owner* owner_ = nullptr;
  bool closed_ = false, has_last_words_ = false;
  std::uint32_t credits_ = VerbsDevice::kCredits;   // frames that the peer has room for
  std::uint32_t owed_ = 0;                          // to the peer: used up and free again
  std::uint32_t expected_ = VerbsDevice::kCredits;  // frames that the peer may send
  std::deque<std::vector<std::byte>> waiting_;
  FarReads asked_;
  OfferedReads offered_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace paceline
