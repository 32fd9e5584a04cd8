// The reads that a peer has asked this side for over a stream. Private to net/. Threading: the I/O
// thread.
//   SR-1 What is sent comes straight from a pinned buffer, and nothing of it after the pin has gone.
//        The end of a read is said when all of it is in the kernel's hands, and the pin was held.
//   SR-2 A pin goes when the reader acknowledges, at the deadline of the announcement or the read,
//        whichever is first, and with the connection (FA-4).
//   SR-3 Reads take turns, a chunk each: a large one keeps no small one waiting.
#pragma once

#include <deque>
#include <map>
#include <optional>

#include "paceline/net/announcements_internal.h"
#include "paceline/net/running_hash_internal.h"
#include "paceline/net/stream/frame_stream_internal.h"

namespace paceline {

class ServedReads {
 public:
  ServedReads(const Arena& arena, Announcements& announcements, FrameStream& stream)
      : arena_(arena), announcements_(announcements), stream_(stream) {}

  /// @return an error: no correct peer does this
  Result<> on(const ReadRequest& frame);
  Result<> on(const Acknowledge& frame);
  std::optional<FrameStream::OutgoingChunk> next_chunk();
  /// @return the next deadline, if there is one
  std::optional<Deadline> expire(Deadline now);
  bool empty() const { return reads_.empty(); }

 private:
  struct Read {
    std::uint32_t slot;
    std::uint64_t version;
    Pin pin;
    Deadline deadline;
    std::size_t sent = 0;
    std::optional<RunningHash> hash = {};
  };
  using Reads = std::map<std::uint64_t, Read>;

  void serve_at_once(std::uint64_t number, Read& read);
  void say_end(std::uint64_t number, const Read& read);
  Reads::iterator drop(Reads::iterator at);

  const Arena& arena_;
  Announcements& announcements_;
  FrameStream& stream_;
  std::uint64_t last_read_ = 0;
  Reads reads_;
  std::deque<std::uint64_t> turns_;  // of those that are not sent to their end; others are skipped
  std::uint64_t on_its_way_ = 0;     // whose chunk the stream has; 0: none
};

}  // namespace paceline
