// The reads that this side has asked a peer for over a stream. Private to net/. Threading: the I/O
// thread.
//   AS-1 Whatever was taken leaves by its callback, once, and a loan before that (FA-1, FA-6).
//   AS-2 A read whose two versions differ, or whose hash does not match, is read again as it is now:
//        never handed on (FA-2, SL-5).
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>

#include "paceline/net/fabric.h"
#include "paceline/net/frames.h"
#include "paceline/net/running_hash_internal.h"

namespace paceline {

class FrameStream;

class AskedReads {
 public:
  AskedReads(FrameStream& stream, FabricOptions::Checksums checksums)
      : stream_(stream), checksums_(checksums == FabricOptions::Checksums::on) {}

  void read(const RemoteSlot& from, Loan loan, Deadline deadline, ReadDone done);
  bool empty() const { return reads_.empty(); }

  // What the peer answers. An error: no correct peer does this.
  Result<> on(const ReadBegin& frame);
  Result<> on(const Chunk& frame);
  Result<> on(const ReadEnd& frame);
  Result<> on(const ReadRefusal& frame);
  /// The payload of the chunk that arrives: see FrameStream::Owner.
  std::span<std::byte> room(std::size_t left);
  void on_payload(std::span<const std::byte> bytes);

  /// @param peer  for the error: who it is, and its last sign of life
  /// @return the next deadline, if there is one
  std::optional<Deadline> expire(Deadline now, const std::string& peer);
  void end_all(const Error& error);

 private:
  struct Read {
    RemoteSlot from;
    Loan loan;
    Deadline deadline;
    ReadDone done;
    std::uint64_t version = 0;  // of ReadBegin; 0: not yet
    std::size_t received = 0;   // of the payload, this time
    std::uint64_t bytes = 0;    // in all
    std::uint32_t retries = 0, damaged = 0;
    std::optional<RunningHash> hash = {};
  };
  using Reads = std::map<std::uint64_t, Read>;

  void ask(Read read);
  void again(Reads::iterator at);
  void end(Reads::iterator at, const Error& error);
  /// @return its place, or end() when it is over; an error when it never was
  Result<Reads::iterator> find(std::uint64_t read);

  FrameStream& stream_;
  const bool checksums_;
  std::uint64_t last_read_ = 0;
  Reads reads_;
  std::uint64_t arriving_ = 0;  // the read whose chunk arrives
};

}  // namespace paceline
