// What synchronous protocols share: who rides, rounds that wait for all of them, and questions to
// the centre that are asked again when they seem lost. Threading: that of the role.
//   RO-1 A round waits for nobody who has ended: the end of a worker ends the wait for it.
//   RO-2 An answer carries the round in which the next question belongs, a later one than that of
//        its question: an answer that comes twice is none to the next. A question of an older round
//        (0: of somebody who has just come) is answered by what its sender has missed.
//   RO-3 What came is kept by worker, and so in rank order, whoever came first.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "paceline/actors/protocol.h"

namespace paceline {

/// Who takes part, as a centre hears of it.
struct Attendance {
  std::set<Address> riding;   ///< neither ended nor crashed
  std::set<Address> awaited;  ///< crashed, and another will take their place

  explicit Attendance(const Place& place) {
    for (Rank r = 0; r < place.workers(); ++r) riding.insert(place.worker(r));
  }
  bool anybody() const { return !riding.empty() || !awaited.empty(); }
  /// Workers that count, whether here or about to return.
  std::uint32_t count() const { return static_cast<std::uint32_t>(riding.size() + awaited.size()); }
  std::vector<Address> addresses() const { return {riding.begin(), riding.end()}; }

  /// @return whether it was news of somebody's end or beginning
  template <class P>
  bool note(const Envelope<P>& e) {
    if (const auto gone = e.template as<Gone>()) {
      riding.erase(e.from());
      awaited.erase(e.from());
      if (gone->returns) awaited.insert(e.from());
      return true;
    }
    if (!e.template as<Joined>()) return false;
    awaited.erase(e.from());
    riding.insert(e.from());
    return true;
  }
};

/// Asks the centre and waits for an answer of type A, whose round becomes `round`; asks again when
/// there is none. Empty: the centre is gone, or does not answer.
template <class A, class P, class M>
Task<std::optional<A>> ask(Port<P> port, M question, std::uint64_t& round, nanoseconds patience) {
  constexpr int kTries = 10;
  for (int tries = 0; tries < kTries; ++tries) {
    port.send(port.global(), question, round);
    auto answer = co_await port.template receive<A, Gone>(patience, round + 1);
    if (const auto found = answer.template as<A>()) {
      round = answer.round();
      co_return found;
    }
    if (answer) co_return std::nullopt;
    port.record_missing(round, "an answer", {{port.global()}});
  }
  co_return std::nullopt;
}

/// Fills `got` with what each worker that rides has sent for `round`; `last` is what they were told
/// when it began. Empty when nobody rides any more.
template <class M, class N, class P>
Task<> gather(Port<P> port, Attendance& who, std::uint64_t round, const N& last,
              std::map<Address, M>& got, nanoseconds patience) {
  got.clear();
  while (who.anybody() && (who.riding.empty() || got.size() < who.riding.size())) {
    auto e = co_await port.template receive<M, Gone, Joined>(patience);
    if (who.note(e)) {
      if (!who.riding.contains(e.from())) got.erase(e.from());
      continue;
    }
    const auto sent = e.template as<M>();
    if (sent && e.round() == round) got[e.from()] = *sent;
    if (sent && e.round() < round) port.send(e.from(), last, round);
    if (e) continue;
    std::vector<Address> missing;
    for (const Address worker : who.riding)
      if (!got.contains(worker)) missing.push_back(worker);
    port.record_missing(round, "its part", missing);
  }
}

/// Begins the next round for all.
template <class N, class P>
void tell_all(Port<P> port, const Attendance& who, const N& next, std::uint64_t round) {
  for (const Address worker : who.riding) port.send(worker, next, round);
}

}  // namespace paceline
