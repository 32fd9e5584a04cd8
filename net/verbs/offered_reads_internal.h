// The pins that a peer has asked for, to READ under them. Private to net/verbs. Threading: the I/O
// thread.
//   OR-1 A pin goes when the reader acknowledges, at the deadline of the announcement or the read,
//        whichever is first, and with the connection (FA-4).
#pragma once

#include <map>
#include <optional>

#include "paceline/net/peers/granted_pin_internal.h"
#include "paceline/net/peers/road_internal.h"
#include "paceline/net/verbs/verbs_device_internal.h"

namespace paceline {

class OfferedReads {
 public:
  OfferedReads(const Arena& arena, Announcements& announcements, Road& road, VerbsDevice& device)
      : arena_(arena), announcements_(announcements), road_(road), device_(device) {}

  ArenaOffer introduction() const;
  /// @return an error: no correct peer does this
  Result<> on(const ReadRequest& frame);
  Result<> on(const Acknowledge& frame);
  /// @return the next deadline, if there is one
  std::optional<Deadline> expire(Deadline now);
  bool empty() const { return pins_.empty(); }

 private:
  const Arena& arena_;
  Announcements& announcements_;
  Road& road_;
  VerbsDevice& device_;
  std::uint64_t last_read_ = 0;
  std::map<std::uint64_t, GrantedPin> pins_;
};

}  // namespace paceline
