// The pin that a peer's read gets. Private to net/. Threading: the I/O thread.
#pragma once

#include <variant>

#include "paceline/net/announcements_internal.h"
#include "paceline/net/frames.h"

namespace paceline {

struct GrantedPin {
  Pin pin;
  Deadline deadline;  ///< of the announcement or of the read, whichever is first (FA-4)
};

/// What the request's ticket names, else what is newest now; or the frame that says why not.
std::variant<GrantedPin, ReadRefusal> grant_pin(const Arena& arena, Announcements& announcements,
                                                const ReadRequest& request);

}  // namespace paceline
