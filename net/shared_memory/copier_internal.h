// Reads from another arena of the same host, on a thread of their own. Private to net/.
// Threading: any thread; callbacks come on the copier's thread, or from within end().
//   CO-1 Reads take turns, some megabytes each, and every turn looks at the deadline and at whether
//        the peer is still there.
//   CO-2 A read of an announced version copies from where it was announced, under the other side's
//        pin, and then looks whether that has held: header, payload, header. If not, or without an
//        announcement, it copies what is newest under a pin of its own.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "paceline/net/fabric.h"

namespace paceline {

class Copier {
 public:
  struct Work {
    PeerId peer;
    std::string address;                 ///< the peer's, for errors
    std::shared_ptr<const Arena> arena;  ///< the peer's
    RemoteSlot from;
    Loan loan;
    Deadline deadline;
    ReadDone done;
    std::function<void()> release;  ///< called before `done` when a ticket is needed no longer
    Pin pin = {};                   // of what is newest
    std::uint64_t version = 0;      // that is being copied; 0: to be begun
    std::size_t copied = 0;
    std::uint64_t bytes = 0;  // in all
    std::uint32_t retries = 0, damaged = 0;
    std::optional<Error> refused = {};  // by add()
  };

  explicit Copier(FabricOptions::Checksums checksums);
  ~Copier();
  void add(Work work);
  /// What is under way with that peer is told `error`; when this returns nothing of it is left.
  void end(PeerId peer, const Error& error);
  bool is_idle() const;

 private:
  void run();
  static void tell(Work work, Result<> result);

  const FabricOptions::Checksums checksums_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> waiting_;
  std::optional<PeerId> in_hand_;   // whose work the thread has taken
  std::optional<Error> dismissed_;  // by end(), while in hand
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace paceline
