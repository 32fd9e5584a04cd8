// What carries one connection's frames and its reads: a stream, or a queue pair. Private to net/.
// Threading: the I/O thread.
//   RO-1 Frames arrive in the order of send(), or the connection ends.
//   RO-2 Owner::on_end() comes once, not from within a call of the owner's; nothing comes after it.
//   RO-3 Each read ends by its callback, once, and its loan before that (FA-1, FA-6): in
//        end_reads() at the latest.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "paceline/net/fabric.h"
#include "paceline/net/frames.h"

namespace paceline {

class Road {
 public:
  class Owner {
   public:
    /// @return an error to end the connection by
    virtual Result<> on_frame(const Frame& frame) = 0;
    /// Something came that is no frame: a part of a slot.
    virtual void on_sign_of_life() = 0;
    /// @param error  empty when the other side has closed in order
    virtual void on_end(const Error& error) = 0;

   protected:
    ~Owner() = default;
  };

  Road() = default;
  Road(const Road&) = delete;
  Road& operator=(const Road&) = delete;
  virtual ~Road() = default;

  /// @param owner  outlives the road, or calls close() before
  virtual void start(Owner& owner) = 0;
  template <class F>
  void send(const F& frame) {
    send_frame(bytes_of(frame));
  }
  /// As far as it goes at once: close() may follow.
  template <class F>
  void send_last(const F& frame) {
    send_last_frame(bytes_of(frame));
  }
  /// What was sent goes still, then nothing more.
  virtual void finish() = 0;
  /// At once, and without a call of the owner. @pre end_reads() follows, or nothing was asked for
  virtual void close() = 0;
  /// Of a stream's socket; -1: there is none.
  virtual int descriptor() const { return -1; }

  /// The device and the address that it takes, for people; empty: the address says it.
  virtual std::string route() const { return {}; }

  // What peers must know of each other to read, told between proof and welcome.
  virtual void introduce() {}
  /// @return whether that was the peer's introduction
  virtual Result<bool> on_introduction(const Frame&) { return false; }
  virtual bool is_introduced() const { return true; }

  // Reads, those that this side asks for and those that it serves.
  virtual void read(const RemoteSlot& from, Loan loan, Deadline deadline, ReadDone done) = 0;
  /// @return an error: no correct peer says this, now or ever
  virtual Result<> on_read_frame(const Frame& frame) = 0;
  virtual bool has_reads() const = 0;
  /// @param peer  for the error: who it is, and its last sign of life
  /// @return the next deadline, if there is one
  virtual std::optional<Deadline> expire_reads(Deadline now, const std::string& peer) = 0;
  virtual void end_reads(const Error& error) = 0;

 protected:
  virtual void send_frame(std::span<const std::byte> frame) = 0;
  virtual void send_last_frame(std::span<const std::byte> frame) = 0;
};

/// Of a frame that nobody has asked for, or that belongs to another kind of connection.
inline Error out_of_turn(const Frame& frame) {
  return std::visit(
      [](const auto& each) {
        return fail(std::errc::protocol_error, "a {} frame out of turn", name_of(each.head.kind));
      },
      frame);
}

/// Of a peer that has too much to do already.
inline Error too_much_under_way() {
  return fail(std::errc::resource_unavailable_try_again, "{} are under way to this peer already",
              Fabric::kMostInFlight);
}

/// What a reader tells of a refusal that ends its read.
/// @pre not expired: that one is read again
inline Error refused_read(const ReadRefusal& frame, std::uint32_t slot, std::size_t bytes) {
  switch (frame.reason) {
    case ReadRefusalReason::no_such_slot:
      return fail(std::errc::invalid_argument, "the peer's arena has no slot {}", slot);
    case ReadRefusalReason::other_size:
      return fail(std::errc::invalid_argument,
                  "the peer's slot {} has {} bytes, the loan for it {}", slot, frame.bytes, bytes);
    case ReadRefusalReason::nothing_published:
      return fail(std::errc::no_message_available, "nothing was published in the peer's slot {}",
                  slot);
    case ReadRefusalReason::no_pin:
    case ReadRefusalReason::expired:
      break;
  }
  return fail(std::errc::resource_unavailable_try_again, "the peer's slot {} gives no pin", slot);
}

/// As a frame says it.
inline std::uint64_t milliseconds_until(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - FabricClock::now());
  return std::min<std::uint64_t>(
      kMostMilliseconds, static_cast<std::uint64_t>(std::max<std::int64_t>(0, left.count())));
}

}  // namespace paceline
