#include "paceline/actors/worker_processes.h"

#include <poll.h>

#include <cerrno>
#include <csignal>

namespace paceline {

using namespace std::chrono_literals;

WorkerProcesses::WorkerProcesses(RunContext& context, NodeArena& node, Outbox& to_self)
    : context_(context), node_(node), to_self_(to_self) {
  for (Rank rank = 0; rank < context.place.seats(); ++rank)
    seats_.push_back({{}, {}, std::make_unique<RemoteRider>(node, rank)});
}

WorkerProcesses::~WorkerProcesses() {
  for (Seat& seat : seats_) {
    seat.child.kill(SIGKILL);
    if (seat.watcher.joinable()) seat.watcher.join();
  }
}

Result<RemoteRider*> WorkerProcesses::start(Rank rank) {
  std::vector<std::string> command = context_.options.worker_command;
  for (const std::string& word :
       {std::string("--segment"), node_.segment(), std::string("--rank"), fmt::format("{}", rank)})
    command.push_back(word);
  Seat& seat = seats_[rank];
  context_.words.seat(rank).alive_at.store(0);
  PACELINE_TRY(seat.child, ChildProcess::start(command));
  seat.watcher = std::thread(&WorkerProcesses::watch, this, rank, seat.child.pidfd());
  return seat.rider.get();
}

void WorkerProcesses::watch(Rank rank, int pidfd) {
  pollfd ended{pidfd, POLLIN, 0};
  while (poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
  node_.clear_claims(rank);  // before the letter: that comes after all that the dead had claimed
  to_self_.send(letter(LetterKind::process_ended, {}, context_.place.worker(rank)));
}

ProcessEnd WorkerProcesses::collect(Rank rank) {
  seats_[rank].watcher.join();
  ChildProcess child = std::exchange(seats_[rank].child, {});
  const auto end = child.wait(10s);
  PACELINE_CHECK(end, "the process of worker {} has ended and not ended", rank);
  context_.arenas->clear_pins(child.identity());
  return *end;
}

void WorkerProcesses::signal_all(int signal) const {
  for (const Seat& seat : seats_)
    if (seat.child) seat.child.kill(signal);
}

std::vector<Rank> WorkerProcesses::kill_silent(double seconds) {
  std::vector<Rank> killed;
  const auto before = static_cast<std::int64_t>(1e9 * (context_.now() - seconds));
  for (Rank rank = 0; rank < seats_.size(); ++rank) {
    const std::int64_t alive_at = context_.words.seat(rank).alive_at.load();
    if (!seats_[rank].child || alive_at == 0 || alive_at > before) continue;
    context_.words.seat(rank).alive_at.store(0);  // once is enough
    seats_[rank].child.kill(SIGKILL);
    killed.push_back(rank);
  }
  return killed;
}

bool WorkerProcesses::flush() {
  bool waits = false;
  for (Seat& seat : seats_)
    if (!seat.rider->flush()) waits = true;
  return waits;
}

}  // namespace paceline
