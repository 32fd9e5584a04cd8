// Which processors each worker of a run keeps to (--pin). share_processors() decides it, the same in
// every process of the run, and touches nothing; PinnedThread does it. Threading: any thread.
//   PN-1 While there are cores enough, each worker has `threads` whole cores of its own, near each
//        other: in one last-level cache where they fit, else in one memory node, package, machine.
//   PN-2 Workers are spread evenly over the machine; seats that begin empty take what is left.
//   PN-3 Where there are only hardware threads enough, each worker has `threads` of those.
//   PN-4 Where there are too few of everything, workers share evenly: each as many others' as any.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "paceline/actors/place.h"
#include "paceline/actors/processors.h"

namespace paceline {

using ProcessorIds = std::vector<unsigned>;  ///< ascending

struct ProcessorShares {
  std::vector<ProcessorIds> seats;  ///< by rank
  bool shared = false;              ///< PN-4
};

/// @param all      read_processors(); at least one
/// @param threads  of each worker
ProcessorShares share_processors(std::span<const Processor> all, const Place& place,
                                 unsigned threads);

/// "0-3,8"
std::string show_processors(const ProcessorIds& ids);
/// One line for the log.
std::string show_shares(const ProcessorShares& shares, const Place& place);

/// Keeps the calling thread, and those that it makes from now on, to some processors for as long as
/// it lives.
class PinnedThread {
 public:
  /// @param ids  empty: nothing happens
  explicit PinnedThread(const ProcessorIds& ids);
  PinnedThread(const PinnedThread&) = delete;
  PinnedThread& operator=(const PinnedThread&) = delete;
  ~PinnedThread();
  /// Why it could not be done; without a code: it was.
  const Error& failure() const { return failure_; }

 private:
  ProcessorIds before_;
  Error failure_;
};

}  // namespace paceline
