// Synchronous EASGD: elastic workers and a centre c that move together, every tau steps:
//   x^i <- x^i - eta g^i(x^i) - alpha (x^i - c)              alpha = beta / p
//   c   <- (1 - beta) c + beta mean_i x^i                    with the x^i from before the step
// Zhang, Choromanska, LeCun 2015, equations (5) and (6).
//
// Worker i publishes d^i = alpha (x^i - c); the centre adds their sum, which is (6).
//   ES-1 sum x^i + c changes by the gradients alone: both sides apply the same d, once.
//   ES-2 c is replaced when all who ride have taken theirs from it, and not before.
//   ES-3 A crash before its d was taken takes both away; alpha follows p with the next round.

#include "elastic_internal.h"
#include "protocols_internal.h"
#include "rounds_internal.h"

namespace paceline {
namespace {

struct EasgdSync {
  using Hyper = ElasticHyper;
  struct Sent {  // worker -> centre: d is there
    std::uint64_t version;
  };
  struct Next {             // centre -> workers
    std::uint64_t version;  ///< of c
    std::uint32_t workers;  ///< p, now
  };
  using Message = std::variant<Sent, Next>;
  static constexpr std::uint32_t kElastic = 1;  ///< a worker's slot for d

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place&) {
    const SlotShape vector{math.bytes(dimension)};
    if (role == Role::worker) return {vector, vector};
    if (role == Role::global) return {vector};
    return {};
  }
  static bool whole_vectors(Role) { return true; }
  static constexpr bool repeatable = true;
  static nanoseconds patience(Port<EasgdSync> port) { return port.patience(port.hyper().tau); }

  static Task<> worker(Port<EasgdSync> port) {
    const Hyper& h = port.hyper();
    const Vector x = port.x(), d = port.vector("elastic");
    std::uint64_t round = 0;
    auto next = co_await ask<Next>(port, Sent{0}, round, patience(port));
    for (std::uint64_t t = port.steps(); port.running(); ++t) {
      bool elastic = false;
      if (next && t % h.tau == 0) {
        Pin c = co_await port.pin(port.global(), kParameters, next->version, patience(port));
        if (c) {
          port.math().difference(d, h.alpha(next->workers), x, port.view(c));
          c = Pin();
          Sent sent{co_await publish_within(port, kElastic, d, patience(port))};
          elastic = sent.version != 0;
          if (elastic) next = co_await ask<Next>(port, sent, round, patience(port));
        }
      }
      co_await port.step();
      if (elastic) port.math().axpy(x, -1, d);
    }
    co_await publish_within(port, kParameters, x, patience(port));
  }

  static Task<> global(Port<EasgdSync> port) {  // the centre
    const Vector c = port.x();
    Attendance who(port.place());
    std::map<Address, Sent> sent;
    std::uint64_t version = co_await publish_within(port, kParameters, c, patience(port));
    for (std::uint64_t round = 1; version != 0 && who.anybody(); ++round) {
      co_await gather(port, who, round, Next{version, who.count()}, sent, patience(port));
      if (sent.empty()) break;
      for (const auto& [worker, message] : sent) {
        Pin d = co_await port.pin(worker, kElastic, message.version, patience(port));
        if (d) port.math().axpy(c, 1, port.view(d));
        if (!d) port.record_missing(round, "an elastic difference", {{worker}});
      }
      port.count("round");
      version = co_await publish_within(port, kParameters, c, patience(port));
      tell_all(port, who, Next{version, who.count()}, round + 1);
    }
  }
};

}  // namespace

Protocol describe_easgd_sync() {
  return describe<EasgdSync>("easgd-sync", "elastic averaging in synchronous rounds",
                             "Zhang, Choromanska, LeCun: Deep learning with Elastic Averaging SGD, "
                             "NeurIPS 2015, (5) and (6)");
}

}  // namespace paceline
