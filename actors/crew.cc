#include "paceline/actors/crew.h"

namespace paceline {

Result<> Crew::seat_all() {
  const std::uint32_t workers = context_.place.workers();
  seats_.resize(workers);
  for (Rank rank = 0; rank < workers; ++rank)
    context_.directory[rank] = spawn_front(system_, &context_, rank, run_);
  for (Rank rank = 0; rank < (processes_ ? 1 : workers); ++rank) PACELINE_TRYV(seat(rank));
  return success();
}

Result<> Crew::seat(Rank rank) {
  const RoleActor& front = context_.directory[rank];
  if (processes_) {
    PACELINE_TRY(RemoteRider * rider, processes_->start(rank));
    anonymously_tell(front, Seated{rider});
  } else {
    seats_[rank].host = std::make_unique<WorkerHost>(context_, rank);
    anonymously_tell(front, Seated{seats_[rank].host.get()});
    spawn_engine(system_, seats_[rank].host.get(), front, run_);
  }
  ++riding_;
  return success();
}

void Crew::ready(const EngineReady& ready) {
  seats_[ready.rank].ready = true;
  Error failure;
  if (ready.error.code)
    failure = fail(ready.error.code, "worker {}: {}", ready.rank, ready.error.message);
  else if (ready_++ == 0 && processes_)
    for (Rank rank = 1; rank < seats_.size() && !failure.code; ++rank)
      if (const auto seated = seat(rank); !seated) failure = seated.error();
  if (!failure_.code) failure_ = failure;
}

void Crew::ended(const EngineEnded& end) {
  context_.words.seat(end.rank).gone.store(true);
  --riding_;
  crashed_ += end.crashed;
  tell_leaders(end.rank, end.crashed);
}

void Crew::process_ended(Rank rank) {
  const std::int32_t pid = processes_->pid(rank);
  const ProcessEnd end = processes_->collect(rank);
  const auto word = std::exchange(seats_[rank].last_word, std::nullopt);
  if (!word) {
    const std::string text =
        fmt::format("worker {}: its process {} ended: {}", rank, pid, end.words());
    if (seats_[rank].ready)
      record(rank, text);
    else if (!failure_.code)
      failure_ = fail(std::errc::no_child_process, "{}", text);
  }
  anonymously_tell(context_.directory[rank], EngineEnded{rank, word ? word->crashed : true});
}

void Crew::look_around() {
  if (!processes_) return;
  const double limit = context_.options.patience;
  if (stopped_at_ > 0 && wall_seconds() - stopped_at_ > limit) {
    stopped_at_ = 0;
    for (const Rank rank : processes_->kill_silent(0))
      record(rank, fmt::format("worker {} does not end, {:.1f} s after it was told to: its process "
                               "{} is killed",
                               rank, limit, processes_->pid(rank)));
  }
  for (const Rank rank : processes_->kill_silent(limit))
    record(rank, fmt::format("worker {} has shown no life for {:.1f} s (stopped?): its process {} is "
                             "killed",
                             rank, limit, processes_->pid(rank)));
}

void Crew::record(Rank rank, std::string fault) {
  anonymously_tell(context_.recorder, Observation{context_.place.worker(rank),
                                                  context_.train_seconds(),
                                                  FaultEvent{0, std::move(fault)}});
}

void Crew::stop() {
  if (stopped_at_ == 0) stopped_at_ = wall_seconds();
  for (Rank rank = 0; rank < context_.place.workers(); ++rank)
    if (const RoleActor& front = context_.directory[rank]) anonymously_tell(front, Stop{});
}

void Crew::tell_leaders(Rank rank, bool crashed) {
  const Place& place = context_.place;
  const Wire gone = to_wire(gone_packet(place.worker(rank), crashed));
  for (const Address leader : {place.leader(place.group(place.worker(rank))), place.global()})
    if (const RoleActor& actor = context_.directory[leader.index]) anonymously_tell(actor, gone);
}

}  // namespace paceline
