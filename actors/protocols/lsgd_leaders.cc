// The leaders' part of LSGD: who rides, when a round is called, who leads. See lsgd.cc.
#include <map>
#include <set>

#include "lsgd_internal.h"

namespace paceline {
namespace {

using Steps = Lsgd::Steps;
using Sync = Lsgd::Sync;
using Score = Lsgd::Score;
using Best = Lsgd::Best;
using Lead = Lsgd::Lead;

// ---- leader of a group ----

struct Group {
  std::set<Address> riding;               // neither ended nor crashed
  std::set<Address> awaited;              // crashed, and another will take their place
  std::map<Address, std::int64_t> steps;  // since the last round
  Ballot ballot, last;
};

/// Takes note of a worker's steps, offer or end. One stream with the wait for offers: what a
/// worker says stays in order.
void note(Port<Lsgd> port, Group& group, const Envelope<Lsgd>& e, std::uint64_t round) {
  const Address from = e.from();
  if (const auto steps = e.as<Steps>()) {
    group.steps[from] += steps->steps;
    port.send(port.global(), *steps, round);
  } else if (const auto score = e.as<Score>()) {
    const Candidate candidate{from.index, score->score, score->version};
    group.ballot.cast(candidate);
    if (score->final) group.last.cast(candidate);
    if (!score->final || !group.riding.erase(from) || !port.hyper().lockstep) return;
    port.send(port.global(), Steps{-std::exchange(group.steps[from], 0), -1}, round);
  } else if (const auto gone = e.as<Gone>()) {
    const bool rode = group.riding.erase(from) > 0, back = group.awaited.erase(from) > 0;
    if (gone->returns) group.awaited.insert(from);
    if (!gone->crashed || back || !(rode || gone->returns)) return;
    group.ballot.withdraw(from.index);
    port.send(port.global(), Steps{-std::exchange(group.steps[from], 0), -1}, round);
  } else if (e.as<Joined>()) {
    group.awaited.erase(from);
    if (group.riding.insert(from).second) port.send(port.global(), Steps{0, 1}, round);
  }
}

template <class M>
void tell(Port<Lsgd> port, const Group& group, const M& message, std::uint64_t round) {
  for (const Address worker : group.riding) port.send(worker, message, round);
}
std::vector<Address> addresses(const std::set<Address>& set) { return {set.begin(), set.end()}; }

/// Calls the workers to a round and waits for their offers.
Task<> collect(Port<Lsgd> port, Group& group, Sync sync, std::uint64_t round) {
  group.ballot.clear();
  tell(port, group, sync, round);
  const WaitDeadline deadline = port.deadline(Lsgd::patience(port));
  for (std::set<Address> missing = group.riding; !missing.empty();) {
    auto e = co_await port.receive<Steps, Score, Gone, Joined>(deadline);
    if (!e) port.record_missing(round, "a score", addresses(missing));
    if (!e) co_return;
    if (e.as<Score>() && e.round() < round) continue;  // the late answer to an older one
    note(port, group, e, round);
    if (!e.as<Steps>()) missing.erase(e.from());
  }
}

// ---- global leader ----

struct Groups {
  std::set<Address> riding;             // leaders of groups with workers
  std::int64_t workers = 0, steps = 0;  // those who ride; since the last round
  std::int64_t leaving = 0;             // those who have done their steps
  Ballot last;

  void note(const Envelope<Lsgd>& e, std::uint64_t round) {
    if (const auto told = e.as<Steps>()) {
      // What a leader takes back that has not heard of the last round went into that round.
      if (told->steps > 0 || e.round() == round) steps += told->steps;
      workers += told->riders;
      leaving += told->last;
    }
    const auto best = e.as<Best>();
    if (best && best->final) last.cast(best->candidate);
    if ((best && best->final) || e.as<Gone>()) riding.erase(e.from());
  }
};

/// Waits for the groups' best and announces the best of them.
Task<> elect(Port<Lsgd> port, Groups& groups, std::uint64_t round) {
  Ballot ballot;
  const WaitDeadline deadline = port.deadline(Lsgd::patience(port));
  for (std::set<Address> missing = groups.riding; !missing.empty();) {
    auto e = co_await port.receive<Steps, Best, Gone>(deadline);
    if (!e) port.record_missing(round, "a candidate", addresses(missing));
    if (!e) break;
    groups.note(e, round);
    const auto best = e.as<Best>();
    if (best && e.round() == round) ballot.cast(best->candidate);
    if (e.as<Gone>() || (best && e.round() >= round)) missing.erase(e.from());
  }
  const Candidate best = ballot.best();
  port.count("global_sync");
  port.record(LeaderEvent{Scope::global, round, best.rank, best.score, best.version, false});
  for (const Address leader : groups.riding)
    port.send(leader, Lead{Scope::global, best.rank, best.version}, round);
}

}  // namespace

Task<> Lsgd::leader(Port<Lsgd> port) {
  const Hyper& h = port.hyper();
  const Place& place = port.place();
  Group group;
  for (Rank r = 0; r < place.per_group; ++r)
    group.riding.insert(place.worker(port.group() * place.per_group + r));
  std::uint64_t round = 0;
  Pin z;  // another group's global leader, as long as this one may pull to it (LS-4)

  while (!group.riding.empty() || !group.awaited.empty()) {
    auto e = co_await port.receive(patience(port));
    if (!e) port.record_missing(round, "a step", addresses(group.riding));
    note(port, group, e, round);
    if (const auto sync = e.as<Sync>()) {
      round = e.round();
      group.steps.clear();
      if (h.mode == LsgdMode::barrier) co_await collect(port, group, *sync, round);
      const Candidate best = group.ballot.best();
      if (h.local_leaders(place) && !group.riding.empty()) {
        port.record(LeaderEvent{Scope::local, round, best.rank, best.score, best.version, false});
        tell(port, group, Lead{Scope::local, best.rank, best.version}, round);
      }
      if (sync->global) port.send(port.global(), Best{best, false}, round);
    }
    if (auto lead = e.as<Lead>()) {
      std::uint64_t announced = e.round();
      while (auto newer = port.take<Lead>()) {  // reads may be slower than rounds
        lead = *newer;
        announced = newer.round();
      }
      Pin next;
      const Address owner = place.worker(lead->rank);
      if (lead->rank != kNobody && place.group(owner) != port.group()) {
        next = co_await port.pin(owner, kParameters, lead->version, patience(port));
        if (!next) port.record_missing(announced, "parameters", {{owner}});
        if (!next) lead->rank = kNobody;
      }
      z = std::move(next);
      tell(port, group, *lead, announced);
    }
  }
  port.send(port.global(), Best{group.last.best(), true}, kFinal);
}

Task<> Lsgd::global(Port<Lsgd> port) {
  const Hyper& h = port.hyper();
  const Place& place = port.place();
  const auto period = static_cast<std::int64_t>(h.period(place));
  const bool local = h.local_leaders(place);
  Groups groups;
  for (std::uint32_t j = 0; j < place.groups; ++j) groups.riding.insert(place.leader(j));
  groups.workers = place.workers();
  std::uint64_t round = 0;

  while (!groups.riding.empty()) {
    auto e = co_await port.receive<Steps, Best, Gone>(patience(port));
    if (!e) port.record_missing(round, "steps", addresses(groups.riding));
    groups.note(e, round);
    while (groups.workers > 0 && groups.steps >= groups.workers * period) {
      groups.steps -= groups.workers * period;
      ++round;
      const bool all = !local || round % (h.tau_global / h.tau) == 0;
      if (std::exchange(groups.leaving, 0) >= groups.workers) {
        for (const Address leader : groups.riding) port.send(leader, Sync{false}, round);
        continue;
      }
      if (local) port.count("local_sync");
      for (const Address leader : groups.riding) port.send(leader, Sync{all}, round);
      if (all) co_await elect(port, groups, round);
    }
  }
  const Candidate best = groups.last.best();
  port.record(LeaderEvent{Scope::global, round, best.rank, best.score, best.version, true});
}

}  // namespace paceline
