// DIANA: workers send compressed differences of gradients, and reach the true optimum all the same.
//   worker i:  D_i = Quant_p(g_i(x) - h_i);  h_i <- h_i + alpha D_i
//   centre:    D = mean D_i;  g = h + D;  x <- x - gamma v(g);  h <- h + alpha D
// Mishchenko, Gorbunov, Takac, Richtarik 2019. v is the run's optimiser: none, or heavy ball as in
// the paper; not Sutskever's, whose gradients are taken ahead of x. alpha = 0 is TernGrad (p
// infinite) or 1-bit QSGD (p = 2).
//
// Rounds are synchronous. Codes travel through slots of the workers, x through the centre's.
//   DI-1 h = mean h_i at every round's end. What seems lost is told again; each code counts once.
//   DI-2 A crash, or a code that cannot be read, takes its h_i along: all begin again from h = 0.
//        Who takes the place of n + 1, or is added to n, brings h_i = 0, and h becomes n / (n + 1) h: the mean still.
//        Its first code tells the centre that it does not know the round yet, and does not count.
//   DI-3 The mean runs in rank order, whoever came first.
//   DI-4 The first worker that has done its steps ends the run: there is no round without it.
#include <cmath>
#include <set>

#include "protocols_internal.h"

namespace paceline {
namespace {

struct Diana {
  struct Hyper {
    double alpha = -1;  ///< of the memories; below 0: alpha_p / 2, the paper's
    CodeNorm norm = CodeNorm::infinity;

    template <class F>
    void each(F f) {
      f("alpha", alpha), f("norm", norm);
    }
    Result<> validate(const Place&) const {
      if (alpha > 1) return fail(std::errc::invalid_argument, "alpha is {}: give at most 1", alpha);
      return success();
    }
    double memory_rate(std::size_t dimension) const {
      const double root = std::sqrt(static_cast<double>(dimension));
      const double alpha_p = norm == CodeNorm::two ? 1 / root : 2 / (1 + root);
      return alpha < 0 ? alpha_p / 2 : alpha;
    }
  };
  struct Sent {  // worker -> centre
    std::uint64_t version;
  };
  struct Next {             // centre -> workers
    std::uint64_t version;  ///< 0: there is no further round
    bool restart;           ///< of the memories
  };
  using Message = std::variant<Sent, Next>;
  static constexpr std::uint32_t kCode = 1;  ///< a worker's slot for D_i
  static constexpr int kTries = 10;          ///< how often a worker tells its code again

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place&) {
    if (role == Role::worker) return {{math.bytes(dimension)}, {math.code_bytes(dimension)}};
    if (role == Role::global) return {{math.bytes(dimension)}};
    return {};
  }
  static bool whole_vectors(Role) { return true; }
  static constexpr bool synchronous = true;
  static constexpr bool repeatable = true;
  static Kept kept(Role role, const Hyper&) {
    if (role == Role::worker) return {{"h"}, {}};
    if (role == Role::global) return {{"momentum", "h"}, {}};
    return {};
  }
  /// How long a wait for a round, or for what one brings, may last.
  static nanoseconds patience(Port<Diana> port) { return port.patience(1); }
  static bool takes(Momentum form) { return form != Momentum::sutskever; }

  static Task<> worker(Port<Diana> port) {
    co_await ride(port);
    co_await publish_within(port, kParameters, port.x(), patience(port));
  }

  static Task<> ride(Port<Diana> port) {
    const Hyper& h = port.hyper();
    const VectorMath& math = port.math();
    const Vector x = port.x(), memory = port.vector("h"), delta = port.vector("delta");
    const double alpha = h.memory_rate(x.count);
    for (std::uint64_t round = 1; port.running(); ++round) {
      co_await port.gradient();
      math.difference(delta, 1, port.g(), memory);
      if (!math.finite(delta)) {  // a gradient that may not enter anybody's mean
        port.count("not_finite");
        math.fill(delta, 0);
      }
      const std::function<void(std::span<std::byte>)> encode = [&](std::span<std::byte> code) {
        math.encode(code, delta, h.norm, port.rng());
      };
      const std::uint64_t sent = co_await publish_within(port, kCode, encode, patience(port));
      if (sent == 0) co_return;
      {
        Pin code = port.pin_held(port.self(), kCode);
        if (code) math.add_decoded(memory, alpha, code.bytes());
        math.finish();
      }  // else it is damaged: the centre cannot read it either, and has everyone begin anew
      port.send(port.global(), Sent{sent}, round);
      std::optional<Next> next;
      for (int tries = 0; !next; ++tries) {
        auto answer = co_await port.receive<Next, Gone>(patience(port), round);
        next = answer.as<Next>();
        if (next) round = answer.round();  // later than its own for who has just joined
        if (answer.as<Gone>() || (next && next->version == 0) || (!answer && tries == kTries))
          co_return;
        if (answer) continue;
        port.record_missing(round, "the next parameters", {{port.global()}});
        port.send(port.global(), Sent{sent}, round);
      }
      if (next->restart) math.fill(memory, 0);
      Pin z = co_await port.pin(port.global(), kParameters, next->version, patience(port));
      if (!z) port.record_missing(round, "parameters", {{port.global()}});
      if (z) math.copy(x, port.view(z));
      math.finish();
      port.at_round(round);
    }
  }

  static Task<> global(Port<Diana> port) {  // the centre
    const Hyper& h = port.hyper();
    const VectorMath& math = port.math();
    const Place& place = port.place();
    const Vector x = port.x(), memory = port.vector("h"), mean = port.vector("mean"), g = port.g();
    const double alpha = h.memory_rate(x.count);
    std::set<Address> riding;
    std::set<Address> awaited;  // crashed, and another may take their place
    std::set<Address> joined;   // and has not sent a code that counts
    for (Rank r = 0; r < place.workers(); ++r) riding.insert(place.worker(r));
    const std::uint64_t first = co_await publish_within(port, kParameters, x, patience(port));
    Next next{first, false};

    for (std::uint64_t round = 1;; ++round) {
      std::map<Address, std::uint64_t> codes;  // versions, by worker and so in rank order
      bool restart = false;
      while (codes.size() < riding.size() || (riding.empty() && !awaited.empty())) {
        auto e = co_await port.receive<Sent, Gone, Joined>(patience(port));
        if (const auto sent = e.as<Sent>()) {
          const Address from = e.from();
          if (e.round() < round) {  // it missed the last answer, or there were none for it
            const Next again{next.version, next.restart || joined.contains(from)};
            port.send(from, again, round - 1);
          }
          if (e.round() == round) codes[from] = sent->version, joined.erase(from);
          if (e.round() == round) port.prefetch(from, kCode, sent->version);
        } else if (const auto gone = e.as<Gone>()) {
          if (!gone->crashed) {
            for (const Address worker : riding) port.send(worker, Next{0, false}, round);
            co_return;
          }
          if (riding.erase(e.from())) restart = true;
          codes.erase(e.from());
          joined.erase(e.from());
          awaited.erase(e.from());
          if (gone->returns) awaited.insert(e.from());
        } else if (e.as<Joined>()) {
          awaited.erase(e.from());
          if (riding.contains(e.from())) continue;
          const auto n = static_cast<double>(riding.size());
          math.scale(memory, n / (n + 1));
          riding.insert(e.from());
          joined.insert(e.from());
        } else {
          port.record_missing(round, "a code", missing(riding, codes));
        }
      }
      if (riding.empty()) co_return;
      math.fill(mean, 0);
      for (const auto& [worker, version] : codes) {
        Pin code = co_await port.pin(worker, kCode, version, patience(port));
        if (!code) port.record_missing(round, "a code", {{worker}});
        if (!code) restart = true;
        if (!code) continue;
        math.add_decoded(mean, 1.0 / static_cast<double>(riding.size()), code.bytes());
        math.finish();
      }
      math.copy(g, memory);
      math.axpy(g, 1, mean);
      port.update();
      math.axpy(memory, alpha, mean);
      if (restart) math.fill(memory, 0);
      next.restart = restart;
      next.version = co_await publish_within(port, kParameters, x, patience(port));
      if (next.version == 0) co_return;
      port.count("round");
      for (const Address worker : riding) port.send(worker, next, round);
    }
  }

  static std::vector<Address> missing(const std::set<Address>& riding,
                                      const std::map<Address, std::uint64_t>& codes) {
    std::vector<Address> result;
    for (const Address worker : riding)
      if (!codes.contains(worker)) result.push_back(worker);
    return result;
  }
};

}  // namespace

template <>
struct SettingWords<CodeNorm> {
  static constexpr std::string_view words[] = {"two", "infinity"};
};

Protocol describe_diana() {
  return describe<Diana>(
      "diana", "compressed differences of gradients",
      "Mishchenko, Gorbunov, Takac, Richtarik: Distributed learning with compressed "
      "gradient differences, 2019");
}

}  // namespace paceline
