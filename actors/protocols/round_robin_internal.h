// One worker at a time, in rank order: the centre calls it, it takes one gradient and answers.
// For the study of stability (Zhang, Choromanska, LeCun 2015, section 3), in the simulator alone.
//   RR-1 A call is taken up once: an answer that seems lost is told again, and changes nothing twice.
#pragma once

#include "rounds_internal.h"

namespace paceline {

struct RoundRobin {
  struct Sent {             // worker -> centre
    std::uint64_t version;  ///< of what it has published
  };
  struct Turn {             // centre -> worker
    std::uint64_t version;  ///< of c
  };
  static constexpr std::uint32_t kAnswer = 1;  ///< a worker's slot

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place&) {
    const SlotShape vector{math.bytes(dimension)};
    if (role == Role::worker) return {vector, vector};
    if (role == Role::global) return {vector};
    return {};
  }

  /// A worker's life.
  /// @param first  the version of what it has published at first, if it has
  /// @param act     Task<uint64_t>(const Pin& c): the turn; the version of the answer
  template <class P, class Act>
  static Task<> ride(Port<P> port, std::uint64_t first, Act act) {
    std::uint64_t round = 0;
    Sent sent{first};
    const nanoseconds patience = port.patience(port.place().workers());
    auto turn = co_await ask<Turn>(port, sent, round, patience);
    while (turn && port.running()) {
      Pin c = co_await port.pin(port.global(), kParameters, turn->version, patience);
      if (!c) break;
      sent.version = co_await act(c);
      c = Pin();
      turn = co_await ask<Turn>(port, sent, round, patience);
    }
    co_await publish_within(port, kParameters, port.x(), patience);
  }

  /// The centre's life.
  /// @param take  Task<>(Address, Sent): what an answer does to c
  template <class P, class Take>
  static Task<> call(Port<P> port, Take take) {
    const nanoseconds patience = port.patience(1);
    Attendance who(port.place());
    std::map<Address, Sent> first;
    // Nobody is answered before everybody has come: the first answer is a call.
    while (who.anybody() && first.size() < who.riding.size()) {
      auto e = co_await port.template receive<Sent, Gone, Joined>(patience);
      if (who.note(e)) first.erase(e.from());
      if (const auto sent = e.template as<Sent>()) first[e.from()] = *sent;
    }
    for (const auto& [worker, sent] : first) co_await take(worker, sent);
    std::uint64_t version = co_await publish_within(port, kParameters, port.x(), patience);
    std::uint64_t round = 1;
    for (Address next{0}; who.anybody() && version != 0; ++round) {
      while (who.riding.empty() && who.anybody()) {
        auto e = co_await port.template receive<Gone, Joined>(patience);
        who.note(e);
      }
      auto it = who.riding.lower_bound(next);
      if (it == who.riding.end()) it = who.riding.begin();
      if (it == who.riding.end()) break;
      const Address active = *it;
      next = {active.index + 1};
      port.send(active, Turn{version}, round);
      bool waits = true;
      while (waits) {
        auto e = co_await port.template receive<Sent, Gone, Joined>(patience);
        if (!e) port.send(active, Turn{version}, round);
        const auto sent = e.template as<Sent>();
        const bool answered = sent && e.from() == active && e.round() == round;
        if (answered) co_await take(active, *sent);
        who.note(e);
        waits = !answered && who.riding.contains(active);
      }
      version = co_await publish_within(port, kParameters, port.x(), patience);
    }
  }
};

}  // namespace paceline
