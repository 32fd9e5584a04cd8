// Who sits in a worker's seat, as its front actor sees it: an engine's thread in this process
// (WorkerHost), or a process that mailboxes reach. Threading: the front's handlers.
#pragma once

#include <cstdint>

#include "paceline/actors/packet.h"

namespace paceline {

class Rider {
 public:
  virtual ~Rider() = default;
  virtual void deliver(const Packet& packet) = 0;
  /// The run begins: live the role.
  virtual void begin() = 0;
  /// Look at the run's budget: it may have been stopped.
  virtual void wake() = 0;
  /// The courier has answered the request of this ticket.
  virtual void fetched(std::uint64_t ticket) = 0;
  /// After its end: what it did not take is lost with it (RH-3), not left to who sits here next.
  virtual void close() = 0;
};

}  // namespace paceline
