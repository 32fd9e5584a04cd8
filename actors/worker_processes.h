// The workers of a run as processes: starts them, notices the end of each at once, kills those that
// show no life, and gives back what the dead had pinned. Threading: one thread, the run's, which
// lives as long as they do; a thread a process waits for its end.
//   WP-1 The end of a process is told (ProcessEnded) after everything that it sent: it comes as the
//        last letter, when what it was writing has been given up.
//   WP-2 No process outlives this object, nor the run's process, however that ends.
#pragma once

#include <csignal>
#include <memory>
#include <thread>
#include <vector>

#include "paceline/actors/remote_rider.h"
#include "paceline/actors/run_context.h"
#include "paceline/net/child_process.h"

namespace paceline {

class WorkerProcesses {
 public:
  /// @param node, to_self  outlive this; to_self leads into the node's own mailbox
  WorkerProcesses(RunContext& context, NodeArena& node, Outbox& to_self);
  ~WorkerProcesses();

  /// Starts a worker's process. @return who sits in the seat from now on
  Result<RemoteRider*> start(Rank rank);
  /// After ProcessEnded: collects it and clears its pins. @return how it ended
  ProcessEnd collect(Rank rank);
  /// Sends a signal to all processes there are.
  void signal_all(int signal) const;
  /// Kills whoever has shown no life for `seconds` by the run's clock. @return their ranks
  std::vector<Rank> kill_silent(double seconds);
  void kill(Rank rank) { seats_[rank].child.kill(SIGKILL); }
  std::int32_t pid(Rank rank) const { return seats_[rank].child.identity().pid; }
  /// Sends what waits for room in the workers' mailboxes; the postman's. @return whether some still
  /// waits
  bool flush();

 private:
  struct Seat {
    ChildProcess child;
    std::thread watcher;                 // of the child
    std::unique_ptr<RemoteRider> rider;  // stays for good: the postman flushes it
  };
  void watch(Rank rank, int pidfd);

  RunContext& context_;
  NodeArena& node_;
  Outbox& to_self_;
  std::vector<Seat> seats_;
};

}  // namespace paceline
