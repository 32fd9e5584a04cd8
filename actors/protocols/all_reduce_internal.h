// An all-reduce out of slots: the mean of a vector over all who ride, each element summed by one of
// them, in rank order. Each worker sends and receives 2 (p - 1) / p of the vector, as in a ring.
//   publish v;  everyone: part k <- mean over workers of their part k;  read the others' parts
//
// A conductor, the global role, says when all have come to the next of the two halves, and who was
// there: the roster, in a slot of its own.
//   AR-1 All get the same bits: a part is computed once and copied.
//   AR-2 Who dies before all have the mean takes its vector along: the others begin the half again
//        without it. Who has just come takes part from the next vector on.
//   AR-3 A slot is written again only when all who may read it have said that they have.
#pragma once

#include <algorithm>
#include <cstring>

#include "rounds_internal.h"

namespace paceline {

struct AllReduce {
  enum class Half : std::uint32_t { bring, reduce, collect };
  struct Sent {             // worker -> conductor
    std::uint64_t version;  ///< of what it has published; 0: nothing, it has just come
  };
  struct Next {            // conductor -> workers
    Half half;             ///< what is to be done now
    std::uint64_t roster;  ///< version
  };
  static constexpr std::uint32_t kWhole = 1, kPart = 2;  ///< a worker's slots
  static constexpr std::uint32_t kRoster = 1;            ///< the conductor's

  /// A line of the roster; its first says for which round it is.
  struct Line {
    std::uint64_t round_or_rank, version;
  };

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place& place) {
    const SlotShape vector{math.bytes(dimension)};
    if (role == Role::worker) return {vector, vector, vector};
    if (role == Role::global) return {{64}, {(place.seats() + 1) * sizeof(Line)}};
    return {};
  }

  struct Share {
    std::size_t first, count;
  };
  static Share share(std::size_t dimension, std::size_t k, std::size_t n) {
    const std::size_t first = dimension * k / n;
    return {first, dimension * (k + 1) / n - first};
  }
  static ConstVector part(const VectorMath& math, std::span<const std::byte> whole, Share s) {
    return {whole.data() + math.bytes(s.first), s.count};
  }

  /// The worker's side: v becomes the mean. Made with the worker, for its life.
  template <class P>
  struct Member {
    Port<P> port;
    nanoseconds patience;
    std::uint64_t round = 0;
    bool alone = false;  ///< the conductor is gone
    Half half = Half::bring;
    std::uint64_t roster = 0;

    Task<> tell(std::uint64_t version) {
      auto next = co_await ask<Next>(port, Sent{version}, round, patience);
      alone = !next.has_value();
      if (alone) co_return;
      half = next->half;
      roster = next->roster;
    }

    Task<> mean(Vector v) {
      if (round == 0) co_await tell(0);
      if (alone) co_return;
      std::uint64_t version = co_await publish_within(port, kWhole, v, patience);
      alone = version == 0;
      if (!alone) co_await tell(version);
      while (!alone && half == Half::reduce) {
        version = co_await reduce(v.count);  // 0: the conductor has all begin the half again
        co_await tell(version);
      }
      if (!alone) co_await collect(v);
    }

    Task<std::vector<Line>> read_roster() {
      std::vector<Line> lines;
      Pin pin = co_await port.pin(port.global(), kRoster, roster, patience);
      if (!pin) co_return lines;
      const std::size_t most = pin.bytes().size() / sizeof(Line);
      Line line;
      for (std::size_t i = 0; i < most; ++i) {
        std::memcpy(&line, pin.bytes().data() + i * sizeof line, sizeof line);
        if (i > 0 && line.version == 0) break;
        lines.push_back(line);
      }
      if (lines.front().round_or_rank != round) lines.clear();  // a later one: that will be told
      if (!lines.empty()) lines.erase(lines.begin());
      co_return lines;
    }

    std::size_t own(const std::vector<Line>& lines) const {
      const auto it = std::ranges::find(lines, port.rank(), &Line::round_or_rank);
      return static_cast<std::size_t>(it - lines.begin());
    }

    /// @return the version of the part that is this one's to compute; 0: it could not be
    Task<std::uint64_t> reduce(std::size_t dimension) {
      const std::vector<Line> lines = co_await read_roster();
      const std::size_t k = own(lines);
      if (k == lines.size()) co_return 0;
      const Share s = share(dimension, k, lines.size());
      const VectorMath& math = port.math();
      std::vector<Pin> pins;
      std::vector<ConstVector> parts;
      for (const Line& line : lines) {
        const Address owner = port.place().worker(static_cast<Rank>(line.round_or_rank));
        pins.push_back(
            co_await port.pin_part(owner, kWhole, line.version, math.bytes(s.count), patience));
        if (!pins.back()) port.record_missing(round, "a vector", {{owner}});
        if (!pins.back()) co_return 0;
        parts.push_back(part(math, pins.back().bytes(), s));
      }
      const std::function<void(std::span<std::byte>)> write = [&](std::span<std::byte> to) {
        if (s.count > 0) math.mean({to.data() + math.bytes(s.first), s.count}, parts);
      };
      co_return co_await publish_within(port, kPart, write, patience);
    }

    Task<> collect(Vector v) {
      const std::vector<Line> lines = co_await read_roster();
      const VectorMath& math = port.math();
      for (std::size_t k = 0; k < lines.size(); ++k) {
        const Share s = share(v.count, k, lines.size());
        const Address owner = port.place().worker(static_cast<Rank>(lines[k].round_or_rank));
        Pin pin =
            co_await port.pin_part(owner, kPart, lines[k].version, math.bytes(s.count), patience);
        if (!pin) port.record_missing(round, "a part", {{owner}});
        std::byte* to = static_cast<std::byte*>(v.data) + math.bytes(s.first);
        if (pin && s.count > 0) math.copy({to, s.count}, part(math, pin.bytes(), s));
      }
    }
  };

  /// The conductor's life.
  template <class P>
  static Task<> conduct(Port<P> port, nanoseconds patience) {
    constexpr int kTries = 10;
    Attendance who(port.place());
    std::map<Address, Sent> brought, reduced;
    std::set<Address> came;
    Rank first = 0;
    Next next{Half::bring, 0};
    for (std::uint64_t round = 1; who.anybody(); ++round) {
      for (const Address worker : came) port.send(worker, Next{Half::bring, 0}, round);
      came.clear();
      co_await gather(port, who, round, next, brought, patience);
      bool complete = false;
      for (int tries = 0; !complete && !brought.empty() && tries < kTries; ++tries) {
        first = brought.begin()->first.index;
        ++round;
        next = {Half::reduce, co_await publish_roster(port, round, brought, patience)};
        for (const auto& [worker, sent] : brought) port.send(worker, next, round);
        complete = co_await gather_parts(port, who, round, next, brought, reduced, came, patience);
      }
      if (brought.empty()) continue;
      if (!complete) break;
      next = {Half::collect, co_await publish_roster(port, round + 1, reduced, patience)};
      port.count("round");
      for (const auto& [worker, sent] : reduced) port.send(worker, next, round + 1);
    }
    port.record(LeaderEvent{Scope::global, 0, first, 0, 1, true});
  }

 private:
  template <class P>
  static Task<std::uint64_t> publish_roster(Port<P> port, std::uint64_t round,
                                            const std::map<Address, Sent>& sent,
                                            nanoseconds patience) {
    const std::function<void(std::span<std::byte>)> write = [&](std::span<std::byte> to) {
      std::vector<Line> lines = {{round, 0}};
      for (const auto& [worker, message] : sent) lines.push_back({worker.index, message.version});
      lines.push_back({0, 0});
      std::memcpy(to.data(), lines.data(), std::min(to.size(), lines.size() * sizeof(Line)));
    };
    co_return co_await publish_within(port, kRoster, write, patience);
  }

  /// Waits for the parts of all who have brought theirs. @return false: the half has to begin again,
  /// without those who have ended
  template <class P>
  static Task<bool> gather_parts(Port<P> port, Attendance& who, std::uint64_t round, Next next,
                                 std::map<Address, Sent>& brought, std::map<Address, Sent>& reduced,
                                 std::set<Address>& came, nanoseconds patience) {
    reduced.clear();
    while (reduced.size() < brought.size()) {
      auto e = co_await port.template receive<Sent, Gone, Joined>(patience);
      if (!e) port.record_missing(round, "a part", missing(brought, reduced));
      if (who.note(e)) {
        const bool left = !who.riding.contains(e.from()) && brought.erase(e.from()) > 0;
        if (left) co_return false;
        continue;
      }
      const auto sent = e.template as<Sent>();
      if (!sent) continue;
      const bool member = brought.contains(e.from());
      if (!member) came.insert(e.from());
      if (!member) continue;
      if (e.round() < round) port.send(e.from(), next, round);
      if (e.round() == round && sent->version == 0) co_return false;
      if (e.round() == round) reduced[e.from()] = *sent;
    }
    co_return true;
  }

  static std::vector<Address> missing(const std::map<Address, Sent>& all,
                                      const std::map<Address, Sent>& there) {
    std::vector<Address> result;
    for (const auto& [worker, sent] : all)
      if (!there.contains(worker)) result.push_back(worker);
    return result;
  }
};

}  // namespace paceline
