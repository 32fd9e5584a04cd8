#include "paceline/actors/crew.h"

#include <algorithm>
#include <cmath>

namespace paceline {

void Crew::spawn_fronts() {
  seats_.resize(context_.place.seats());
  for (Rank rank = 0; rank < seats_.size(); ++rank) {
    Seat& seat = seats_[rank];
    if (!context_.hosts({rank})) {
      seat.state = State::elsewhere;
      continue;
    }
    context_.directory[rank] = spawn_front(system_, run_);
    seat.first = seat.known = rank < context_.place.workers();
    seat.sat = seat.first ? 0 : 1;
    if (seat.first) first_.push_back(rank);
  }
}

Result<> Crew::seat_all() {
  for (std::size_t i = 0; i < (processes_ ? 1 : first_.size()); ++i) PACELINE_TRYV(seat(first_[i]));
  return success();
}

/// Whoever sits down, the first or a later one. Before its state is riding, an exception or an error
/// leaves the seat as it was.
Result<> Crew::seat(Rank rank) {
  const RoleActor& front = context_.directory[rank];
  Seat& seat = seats_[rank];
  context_.words.seat(rank).generation.store(seat.sat++);
  context_.words.seat(rank).built.store(false);
  context_.words.seat(rank).lost.store(false);
  seat.ready = seat.overdue = false;
  seat.seated = wall_seconds();
  if (processes_) {
    PACELINE_TRY(RemoteRider * rider, processes_->start(rank));
    anonymously_tell(front, Seated{rider});
  } else {
    seat.host = std::make_unique<WorkerHost>(context_, rank);
    anonymously_tell(front, Seated{seat.host.get()});
    try {
      spawn_engine(system_, seat.host.get(), front, run_);
    } catch (const std::exception& error) {  // no thread
      if (seat.first) throw;
      record(rank, fmt::format("worker {} could not begin: {}", rank, error.what()));
      anonymously_tell(front, EngineEnded{rank, true});  // the front lets go of it first
    }
  }
  seat.state = State::riding;
  return success();
}

void Crew::ready(const EngineReady& ready) {
  Seat& seat = seats_[ready.rank];
  seat.ready = !ready.error.code;
  seat.begun = wall_seconds();
  if (!seat.first) return come(ready);
  Error failure;
  if (ready.error.code)
    failure = fail(ready.error.code, "worker {}: {}", ready.rank, ready.error.message);
  else if (ready_++ == 0 && processes_)
    for (std::size_t i = 1; i < first_.size() && !failure.code; ++i)
      if (const auto seated = this->seat(first_[i]); !seated) failure = seated.error();
  if (!failure_.code) failure_ = failure;
}

/// A replacement, or who was added, has its engine, or has not: then its end follows.
void Crew::come(const EngineReady& ready) {
  const Rank rank = ready.rank;
  const char* what = seats_[rank].restarts > 0 ? "replaced" : "added";
  if (ready.error.code)
    return record(rank,
                  fmt::format("worker {} could not be {}: {}", rank, what, ready.error.message));
  if (seats_[rank].restarts > 0)
    record(rank, fmt::format("worker {} was replaced ({} of {} times)", rank, seats_[rank].restarts,
                             context_.options.restarts));
  else
    record(rank, fmt::format("worker {} was added to group {}: {} ride", rank,
                             context_.place.group(context_.place.worker(rank)), riding()));
  context_.words.seat(rank).vacant.store(false);
  if (!std::exchange(seats_[rank].known, true)) ++added_;
  tell_leaders(rank, joined_packet(context_.place.worker(rank)));
  if (context_.live.begun.load() > 0) anonymously_tell(context_.directory[rank], Begin{});
}

void Crew::ended(const EngineEnded& end) {
  context_.words.seat(end.rank).gone.store(true);
  Seat& seat = seats_[end.rank];
  seat.host.reset();  // its memory, before another needs as much
  if (context_.words.seat(end.rank).claimed.exchange(false)) context_.budget.give_back();
  if (std::exchange(seat.leaving, false) && end.crashed) return leave_for_good(end.rank);
  if (!end.crashed) return leave_empty(end.rank, State::ended);
  if (seat.ready && wall_seconds() - seat.begun > kLongLife) seat.pause = kFirstPause;
  await_next(end.rank);
}

void Crew::await_next(Rank rank) {
  Seat& seat = seats_[rank];
  if (seat.first && !seat.ready) return leave_empty(rank, State::lost);  // the run's failure
  if (!needed(rank)) return leave_empty(rank, State::ended);
  if (seat.restarts >= context_.options.restarts) {
    if (context_.options.restarts > 0)
      record(rank,
             fmt::format("worker {} is given up: it was replaced {} times", rank, seat.restarts));
    return leave_empty(rank, State::lost);
  }
  seat.state = State::awaited;
  seat.due = wall_seconds() + seat.pause;
  seat.pause = std::min(2 * seat.pause, kLongestPause);
  if (seat.known) tell_leaders(rank, gone_packet(context_.place.worker(rank), true, true));
}

void Crew::leave_empty(Rank rank, State state) {
  // Who is removed has crashed, as far as others have to know: they go on.
  const bool crashed = state != State::ended || seats_[rank].state == State::awaited;
  seats_[rank].state = state;
  context_.words.seat(rank).lost.store(state == State::lost);
  if (std::exchange(seats_[rank].known, false))
    tell_leaders(rank, gone_packet(context_.place.worker(rank), crashed));
}

bool Crew::needed(Rank rank) const {
  if (context_.budget.exhausted()) return false;
  return !context_.options.deterministic ||
         context_.words.seat(rank).steps.load() < context_.steps_planned / context_.place.workers();
}

std::size_t Crew::count(State state) const {
  return static_cast<std::size_t>(std::ranges::count(seats_, state, &Seat::state));
}

std::chrono::milliseconds Crew::idle() const {
  double seconds = 0.25;
  for (const Seat& seat : seats_)
    if (seat.state == State::awaited) seconds = std::min(seconds, seat.due - wall_seconds());
  return std::chrono::milliseconds(static_cast<int>(std::ceil(1e3 * std::max(seconds, 0.001))));
}

void Crew::process_ended(Rank rank) {
  const std::int32_t pid = processes_->pid(rank);
  const ProcessEnd end = processes_->collect(rank);
  const auto word = std::exchange(seats_[rank].last_word, std::nullopt);
  if (!word) {
    const std::string text =
        fmt::format("worker {}: its process {} ended: {}", rank, pid, end.words());
    if (seats_[rank].ready || !seats_[rank].first)
      record(rank, text);
    else if (!failure_.code)
      failure_ = fail(std::errc::no_child_process, "{}", text);
  }
  anonymously_tell(context_.directory[rank], EngineEnded{rank, word ? word->crashed : true});
}

void Crew::look_around() {
  for (Rank rank = 0; rank < seats_.size(); ++rank) {
    Seat& empty = seats_[rank];
    if (empty.state != State::awaited) continue;
    if (!needed(rank)) {
      leave_empty(rank, State::ended);
    } else if (wall_seconds() >= empty.due) {
      ++empty.restarts;
      empty.first = false;
      const auto seated = seat(rank);
      if (seated) continue;
      record(rank,
             fmt::format("worker {} could not be replaced: {}", rank, seated.error().message));
      await_next(rank);
    }
  }
  settle_changes();
  look_for_overdue();
  if (!processes_) return;
  const double limit = context_.options.patience > 0
                           ? context_.options.patience
                           : std::max(kLeastSilence, context_.patience(1));
  if (stopped_at_ > 0 && context_.now() - stopped_at_ > limit) {
    stopped_at_ = 0;
    for (const Rank rank : processes_->kill_silent(0))
      record(rank, fmt::format("worker {} does not end, {:.1f} s after it was told to: its process "
                               "{} is killed",
                               rank, limit, processes_->pid(rank)));
  }
  for (const Rank rank : processes_->kill_silent(limit))
    record(rank,
           fmt::format("worker {} has shown no life for {:.1f} s (stopped?): its process {} is "
                       "killed",
                       rank, limit, processes_->pid(rank)));
}

void Crew::look_for_overdue() {
  const double limit = context_.options.begin_within;
  for (Rank rank = 0; rank < seats_.size(); ++rank) {
    Seat& seat = seats_[rank];
    if (seat.state != State::riding || seat.ready || seat.overdue ||
        wall_seconds() - seat.seated <= limit)
      continue;
    seat.overdue = true;
    std::string text =
        fmt::format("worker {} has not built its engine within {} s (--begin-within)", rank, limit);
    if (processes_) text += fmt::format(": its process {} is killed", processes_->pid(rank));
    if (seat.first && !failure_.code) failure_ = fail(std::errc::timed_out, "{}", text);
    record(rank, std::move(text));
    if (processes_) processes_->kill(rank);
  }
}

void Crew::record(Rank rank, std::string fault) {
  anonymously_tell(context_.recorder,
                   Observation{context_.place.worker(rank), context_.train_seconds(),
                               FaultEvent{0, std::move(fault)}});
}

void Crew::stop() {
  if (stopped_at_ == 0) stopped_at_ = context_.now();
  for (Rank rank = 0; rank < seats_.size(); ++rank) {
    if (const RoleActor& front = context_.directory[rank]) anonymously_tell(front, Stop{});
    if (seats_[rank].state == State::awaited) leave_empty(rank, State::ended);
  }
}

void Crew::tell_leaders(Rank rank, const Packet& news) {
  const Place& place = context_.place;
  const Wire wire = to_wire(news);
  for (const Address leader : {place.leader(place.group(place.worker(rank))), place.global()})
    if (const RoleActor& actor = context_.directory[leader.index]) anonymously_tell(actor, wire);
}

}  // namespace paceline
