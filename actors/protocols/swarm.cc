// SwarmSGD: pairs of workers average their models, after H local steps each; no centre, no rounds.
//   blocking (barrier)  x_i <- x_i - eta h_i(x_i);  both of a pair:  x <- (x_i + x_j) / 2
//   nonblocking         S_i: what i began its local steps with and published, d_i = -eta h_i(S_i);
//                       x_i <- (S_i + S_j) / 2 + d_i, and x_j <- (S_i + S_j) / 2 + d_j when j is done
// Nadiradze, Sabour, Davies, Li, Alistarh 2021. H is drawn from a geometric distribution of mean tau,
// or is tau. Pairs are drawn uniformly by a matchmaker, the global role, which sees no vector.
//   SW-1 sum x_i changes by the local steps alone: both of a pair average, or the one that crashed
//        takes its model along.
//   SW-2 An exchange takes one of two slots in turn, and nobody is paired anew before its last
//        partner has read: what a partner is told to read stays as it is.
//   SW-3 Who has no possible partner goes on alone.
#include <map>
#include <set>

#include "protocols_internal.h"
#include "rounds_internal.h"

namespace paceline {
namespace {

enum class SwarmMode : std::uint8_t { barrier, nonblocking };

struct Swarm {
  struct Hyper {
    std::uint64_t tau = 4;  ///< H, steps
    bool geometric = true;
    SwarmMode mode = SwarmMode::nonblocking;

    template <class F>
    void each(F f) {
      f("tau", tau), f("geometric", geometric), f("mode", mode);
    }
    Result<> validate(const Place&) const {
      if (tau == 0) return fail(std::errc::invalid_argument, "tau is 0: give at least 1 step");
      return success();
    }
  };
  struct Open {  // worker -> matchmaker: S is there to be averaged with
    std::uint64_t version;
  };
  struct Done {             // worker -> matchmaker: its local steps are done
    std::uint64_t version;  ///< of its model, or of S
    bool last;              ///< it ends, and looks for no partner
  };
  struct Meet {  // matchmaker -> worker
    Rank rank;   ///< kNobody: go on alone
    std::uint32_t slot;
    std::uint64_t version;
  };
  struct Took {};  // worker -> matchmaker: it has read its partner's
  using Message = std::variant<Open, Done, Meet, Took>;

  static std::uint32_t turn(std::uint64_t round) { return 1 + round % 2; }

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place&) {
    const SlotShape vector{math.bytes(dimension)};
    if (role == Role::worker) return {vector, vector, vector};
    return {};
  }
  static bool whole_vectors(Role role) { return role == Role::worker; }
  static constexpr bool shown_on_request = true;
  static nanoseconds patience(Port<Swarm> port) { return port.patience(4 * port.hyper().tau); }

  // ---- worker ----

  static std::uint64_t local_steps(const Hyper& h, Rng& rng) {
    if (!h.geometric) return h.tau;
    std::uint64_t count = 1;
    while (rng.uniform() * static_cast<double>(h.tau) >= 1) ++count;
    return count;
  }

  static Task<> worker(Port<Swarm> port) {
    const bool early = port.hyper().mode == SwarmMode::nonblocking;
    const Vector x = port.x(), start = port.vector("start");
    Rng draws(port.rng().state(), 1);  // apart from the batches', which stay those of plain SGD
    bool alone = false;                // the matchmaker is gone
    for (std::uint64_t round = 1; port.running(); ++round) {
      std::uint64_t version = 0;
      if (early && !alone) {
        port.math().copy(start, x);
        version = co_await publish_within(port, turn(round), start, patience(port));
        if (version != 0) port.send(port.global(), Open{version}, round);
      }
      const std::uint64_t count = local_steps(port.hyper(), draws);
      for (std::uint64_t k = 0; k < count && port.running(); ++k) co_await port.step();
      const bool last = !port.running();
      if (alone || (last && !early)) continue;
      if (!early) version = co_await publish_within(port, turn(round), x, patience(port));
      if (version != 0) alone = co_await meet(port, Done{version, last}, round);
    }
    co_await publish_within(port, kParameters, x, patience(port));
  }

  /// Averages with whom the matchmaker names. @return whether it is gone
  static Task<bool> meet(Port<Swarm> port, Done done, std::uint64_t round) {
    const VectorMath& math = port.math();
    std::uint64_t answered = round;
    auto met = co_await ask<Meet>(port, done, answered, patience(port));
    if (!met) co_return true;
    if (met->rank == kNobody) co_return false;
    const Address partner = port.place().worker(met->rank);
    Pin other = co_await port.pin(partner, met->slot, met->version, patience(port));
    if (!other) port.record_missing(round, "a model", {{partner}});
    if (other) {
      const Vector x = port.x(), mean = port.vector("mean"), step = port.vector("step");
      const bool early = port.hyper().mode == SwarmMode::nonblocking;
      const ConstVector own = early ? port.vector("start") : x;
      const ConstVector pair[] = {own, port.view(other)};
      math.mean(mean, pair);
      if (early) math.difference(step, 1, x, own);
      math.copy(x, mean);
      if (early) math.axpy(x, 1, step);
      other = Pin();
      port.count("exchange");
    }
    port.send(port.global(), Took{}, round);
    co_return false;
  }

  // ---- matchmaker ----

  struct Seat {
    std::uint64_t round = 0, version = 0;  ///< of its model that may be averaged with
    bool open = false;                     ///< that model has no partner yet
    bool waits = false;                    ///< for a partner: its local steps are done
    Address drawn;                         ///< blocking: whom it waits for
    std::optional<Meet> met;               ///< in this round
    Address reader;                        ///< who is still to read its last model
    std::uint64_t reads_in = 0;            ///< and in which round of the reader's
  };
  using Seats = std::map<Address, Seat>;

  static Task<> global(Port<Swarm> port) {
    Attendance who(port.place());
    Seats seats;
    Rank first = 0;
    while (who.anybody()) {
      auto e = co_await port.receive<Open, Done, Took, Gone, Joined>(patience(port));
      if (!e) port.record_missing(0, "a model", who.addresses());
      if (!e) continue;
      const Address from = e.from();
      if (who.note(e)) {
        leave(seats, from);
        const auto gone = e.as<Gone>();
        if (gone && !gone->crashed) first = from.index;
      } else {
        read(seats, from, e.round(), e.as<Took>().has_value());
        if (const auto open = e.as<Open>()) renew(seats[from], e.round(), open->version);
        if (const auto done = e.as<Done>()) finish(port, seats[from], from, e.round(), *done);
      }
      match(port, who, seats);
    }
    port.record(LeaderEvent{Scope::global, 0, first, 0, 1, true});
  }

  static void leave(Seats& seats, Address who) {
    seats.erase(who);
    for (auto& [address, seat] : seats) {
      if (seat.reader == who) seat.reader = {};
      if (seat.drawn == who) seat.drawn = {};
    }
  }
  /// Whoever goes on has read what it was told to.
  static void read(Seats& seats, Address reader, std::uint64_t round, bool took) {
    for (auto& [address, seat] : seats)
      if (seat.reader == reader && (round > seat.reads_in || (took && round == seat.reads_in)))
        seat.reader = {};
  }
  static void renew(Seat& seat, std::uint64_t round, std::uint64_t version) {
    if (round <= seat.round) return;
    seat.round = round;
    seat.version = version;
    seat.open = true;
    seat.met.reset();
  }
  static void finish(Port<Swarm> port, Seat& seat, Address from, std::uint64_t round, Done done) {
    renew(seat, round, done.version);
    if (done.last && !seat.met) {
      seat.open = false;
      seat.met = Meet{kNobody, 0, 0};
    }
    if (seat.met) port.send(from, *seat.met, round + 1);
    seat.waits = !seat.met;
  }

  static bool free(const Seat& seat) { return seat.open && seat.reader == Address{}; }

  static void match(Port<Swarm> port, const Attendance& who, Seats& seats) {
    const bool blocking = port.hyper().mode == SwarmMode::barrier;
    for (auto& [address, seat] : seats) {
      if (!seat.waits || !free(seat)) continue;
      const std::optional<Address> partner =
          blocking ? drawn(port, who, seats, address) : any(port, who, seats, address);
      if (partner) pair(port, seats, address, *partner);
      if (partner || who.count() > 1) continue;
      seat.open = seat.waits = false;
      seat.met = Meet{kNobody, 0, 0};
      port.send(address, *seat.met, seat.round + 1);
    }
  }
  /// Nonblocking: whoever has a model that is free.
  static std::optional<Address> any(Port<Swarm> port, const Attendance& who, const Seats& seats,
                                    Address self) {
    std::vector<Address> others;
    for (const auto& [address, seat] : seats)
      if (address != self && free(seat) && who.riding.contains(address)) others.push_back(address);
    if (others.empty()) return std::nullopt;
    return others[port.rng().below(others.size())];
  }
  /// Blocking: who waits for this one; else one drawn from all, which may have to be waited for.
  static std::optional<Address> drawn(Port<Swarm> port, const Attendance& who, Seats& seats,
                                      Address self) {
    for (const auto& [address, seat] : seats)
      if (seat.waits && free(seat) && seat.drawn == self) return address;
    Seat& seat = seats[self];
    if (seat.drawn == Address{}) {
      std::vector<Address> others;
      for (const Address address : who.riding)
        if (address != self) others.push_back(address);
      if (others.empty()) return std::nullopt;
      seat.drawn = others[port.rng().below(others.size())];
    }
    const auto it = seats.find(seat.drawn);
    if (it == seats.end() || !it->second.waits || !free(it->second)) return std::nullopt;
    return seat.drawn;
  }
  static void pair(Port<Swarm> port, Seats& seats, Address a, Address b) {
    const auto meet = [&](Address self, Address other) {
      Seat &seat = seats[self], &partner = seats[other];
      seat.met = Meet{other.index, turn(partner.round), partner.version};
      seat.open = false;
      seat.drawn = {};
      partner.reader = self;
      partner.reads_in = seat.round;
      if (seat.waits) port.send(self, *seat.met, seat.round + 1);
      seat.waits = false;
    };
    meet(a, b);
    meet(b, a);
  }
};

}  // namespace

template <>
struct SettingWords<SwarmMode> {
  static constexpr std::string_view words[] = {"barrier", "nonblocking"};
};

Protocol describe_swarm() {
  return describe<Swarm>(
      "swarm", "pairs of workers average",
      "Nadiradze, Sabour, Davies, Li, Alistarh: Asynchronous decentralized SGD, NeurIPS 2021");
}

}  // namespace paceline
