#include "paceline/actors/crew.h"

namespace paceline {

void Crew::seat_all() {
  for (Rank rank = 0; rank < context_.place.workers(); ++rank) {
    RoleActor& front = context_.directory[rank] = spawn_front(system_, &context_, rank, run_);
    WorkerHost& host = workers_.emplace_back(context_, rank);
    anonymously_tell(front, Seated{&host});
    spawn_engine(system_, &host, front, run_);
    ++riding_;
  }
}

void Crew::ended(const EngineEnded& end) {
  --riding_;
  crashed_ += end.crashed;
  tell_leaders(end.rank, end.crashed);
}

void Crew::stop() {
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
