// `paceline bench mailbox`: a round trip between two processes through mailboxes, against one through
// CAF's remoting over loopback.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "paceline/result.h"

namespace paceline {

/// Measures for some seconds. The other process is this program once more; both ways are taken in
/// turn, block by block, and the medians of the blocks reported. A letter is always 192 bytes; CAF
/// carries four integers from actor to actor, under the scheduler that it is fastest with.
/// "busy": one round trip after the other; both sides of the mailboxes look all the time, on a core
/// each where there are two.
/// "asleep": a pause before each round trip, so that the receiver sleeps; the pause does not count.
/// @return {"cores", "results": [{"receiver": "busy" or "asleep",
///          "mailbox_seconds": the median round trip, "mailbox_per_second": round trips,
///          "caf_seconds", "caf_per_second", "ratio": of the medians}]}
Result<nlohmann::json> bench_mailbox();

/// What the other process does, until it is killed or its parent ends.
/// @param segment  of the arena that bench_mailbox() made
/// @return only a failure
Error answer_bench_mailbox(const std::string& segment);

}  // namespace paceline
