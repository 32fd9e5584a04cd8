// The pins that a node holds for readers on other nodes (FA-4). Private to net/.
// Threading: any thread.
//   AN-1 A pin goes when its ticket is released or its deadline passes, whichever comes first; a read
//        that takes it over keeps to the same deadline.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "paceline/net/fabric.h"

namespace paceline {

class Announcements {
 public:
  /// @pre pin
  RemoteSlot hold(std::uint32_t slot, Pin pin, Deadline deadline);
  struct Taken {
    Pin pin;
    Deadline deadline;
  };
  /// The reader has come: its read owns the pin from now on.
  /// @return nothing when the deadline has passed, or the ticket is of another slot, or of none
  std::optional<Taken> take(std::uint64_t ticket, std::uint32_t slot, Deadline now);
  void release(std::uint64_t ticket);
  /// Lets go of what is due. @return the next deadline, if there is one
  std::optional<Deadline> expire(Deadline now);
  bool empty() const;

 private:
  struct Held {
    std::uint32_t slot;
    Pin pin;
    Deadline deadline;
  };

  mutable std::mutex mutex_;
  std::uint64_t last_ticket_ = 0;
  std::map<std::uint64_t, Held> held_;
};

/// The newest version of a slot. @return an error that says why there is none
Result<Pin> pin_newest(const Arena& arena, std::uint32_t slot);

}  // namespace paceline
