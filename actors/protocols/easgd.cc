// Asynchronous EASGD: elastic workers around a centre c. Worker i, on its own clock t:
//   tau | t:  d = alpha (x - c);  c <- c + d                  alpha = beta / p
//   x <- x - eta g(x) [- d]                                   the gradient at x before the pull
// Zhang, Choromanska, LeCun 2015, Algorithm 1; with Sutskever's momentum, EAMSGD. Order of one step
// as in the authors' code: d is on its way to the centre while the gradient is computed.
//
// d travels through a slot of the worker; the centre acknowledges it.
//   EA-1 sum x^i + c changes by the gradients alone, at any timing: both sides apply the same d,
//   once. A push that is not acknowledged is told again; the centre knows what it took. Until then
//   the worker takes no other elastic step, and its d stays in place.
//   EA-2 A worker that crashed takes its x along, and what it has pushed stays with the centre. Who
//   takes its place begins at c, and so with d = 0. The centre stays while somebody may return.
//   EA-3 A worker begins when the centre has greeted it, and so when c is there to be read: the first
//   exchange is left to no race.
//   EA-4 p counts who was added and not who was removed or given up; each worker's alpha follows
//   after its next push.
#include <map>
#include <set>

#include "elastic_internal.h"
#include "protocols_internal.h"

namespace paceline {
namespace {

struct Easgd {
  using Hyper = ElasticHyper;
  struct Push {             // worker -> centre: a d is there
    std::uint64_t version;  ///< 0: no d, a question whether it is there
  };
  struct Taken {            // centre -> worker
    std::uint64_t version;  ///< 0: a greeting
    std::uint32_t workers;  ///< p, now
  };
  using Message = std::variant<Push, Taken>;
  static constexpr std::uint32_t kElastic = 1;  ///< a worker's slot for d

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place&) {
    const SlotShape vector{math.bytes(dimension)};
    if (role == Role::worker) return {vector, vector};
    if (role == Role::global) return {vector};
    return {};
  }
  static bool whole_vectors(Role) { return true; }

  /// How long a wait for an acknowledgement, or for a push, may last.
  static nanoseconds patience(Port<Easgd> port) { return port.patience(port.hyper().tau); }

  static Task<> worker(Port<Easgd> port) {
    const Hyper& h = port.hyper();
    double alpha = h.alpha(port.place().workers());
    const Vector x = port.x(), d = port.vector("elastic");
    std::uint64_t pushed = 0;  // the version of d that the centre has not acknowledged yet
    port.send(port.global(), Push{0}, 0);  // who comes when it has ended hears of that
    bool alone = co_await settled(port, pushed, alpha);  // the centre is gone

    for (std::uint64_t t = port.steps(); port.running(); ++t) {
      bool elastic = false;
      if (t % h.tau == 0 && !alone) {
        if (pushed) alone = co_await settled(port, pushed, alpha);
        Pin c;
        if (!pushed && !alone)
          c = co_await port.pin(port.global(), kParameters, kNewest, patience(port));
        if (c) {
          port.math().difference(d, alpha, x, port.view(c));
          port.math().finish();
          c = Pin();
          pushed = port.publish(kElastic, d);
          elastic = pushed != 0;
          if (elastic) port.send(port.global(), Push{pushed}, pushed);
        }
      }
      co_await port.step();
      if (elastic) port.math().axpy(x, -1, d);
    }
    for (int tries = 0; pushed && !alone && tries < 10; ++tries)
      alone = co_await settled(port, pushed, alpha);
    co_await publish_within(port, kParameters, x, patience(port));
  }

  /// Waits until the centre has greeted (`pushed` is 0) or taken `pushed`, which becomes 0; tells it again if it seems not to
  /// know. Alpha becomes that of those who ride. @return whether the centre is gone
  static Task<bool> settled(Port<Easgd> port, std::uint64_t& pushed, double& alpha) {
    auto answer = co_await port.receive<Taken, Gone>(patience(port), pushed);
    if (const auto taken = answer.as<Taken>()) {
      pushed = 0;
      alpha = port.hyper().alpha(taken->workers);
    }
    if (!answer) {
      port.record_missing(pushed, "an acknowledgement", {{port.global()}});
      if (port.pin_held(port.self(), kElastic))
        port.send(port.global(), Push{pushed}, pushed);
      else
        pushed = 0;  // damaged: nobody can take it any more
    }
    co_return answer.as<Gone>().has_value();
  }

  static Task<> global(Port<Easgd> port) {  // the centre
    const Vector c = port.x();
    std::set<Address> riding, awaited;  // who crashed is awaited while another may take its place
    for (Rank r = 0; r < port.place().workers(); ++r) riding.insert(port.place().worker(r));
    std::uint32_t workers = port.place().workers();
    std::map<Address, std::uint64_t> taken;  // the last version of each worker's d
    port.publish(kParameters, c);
    for (const Address worker : riding) port.send(worker, Taken{0, workers}, 0);
    while (!riding.empty() || !awaited.empty()) {
      auto e = co_await port.receive<Push, Gone, Joined>(patience(port));
      const auto gone = e.as<Gone>();
      if (gone && gone->crashed && !gone->returns) --workers;  // for good, before its time
      if (gone) riding.erase(e.from()), awaited.erase(e.from());
      if (gone && gone->returns) awaited.insert(e.from());
      if (e.as<Joined>() && !awaited.erase(e.from()) && !riding.contains(e.from())) ++workers;
      if (e.as<Joined>()) {
        riding.insert(e.from());
        port.send(e.from(), Taken{0, workers}, 0);
      }
      if (!e) port.record_missing(0, "a push", std::vector<Address>(riding.begin(), riding.end()));
      const auto push = e.as<Push>();
      if (!push) continue;
      if (taken[e.from()] < push->version) {
        Pin d = co_await port.pin(e.from(), kElastic, push->version, patience(port));
        if (!d) continue;  // it will be told again
        port.math().axpy(c, 1, port.view(d));
        port.math().finish();
        port.publish(kParameters, c);  // when readers hold every buffer: with the next push
        port.count("elastic");
        taken[e.from()] = d.version();  // newer than told where another has the place already
      }
      port.send(e.from(), Taken{push->version, workers}, push->version);
    }
    co_await publish_within(port, kParameters, c, patience(port));
  }
};

}  // namespace

Protocol describe_easgd() {
  return describe<Easgd>("easgd", "elastic averaging around a centre",
                         "Zhang, Choromanska, LeCun: Deep learning with Elastic Averaging SGD, "
                         "NeurIPS 2015, Algorithm 1");
}
Protocol describe_eamsgd() {
  Protocol p = describe<Easgd>("eamsgd", "EASGD with Nesterov's momentum, as Sutskever writes it",
                               "Zhang, Choromanska, LeCun: Deep learning with Elastic Averaging "
                               "SGD, NeurIPS 2015, Algorithm 2");
  p.takes = [](Momentum form) { return form == Momentum::sutskever; };
  return p;
}

}  // namespace paceline
