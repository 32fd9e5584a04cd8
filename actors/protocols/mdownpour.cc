// MDOWNPOUR: DOWNPOUR with tau = 1 and Nesterov's momentum at the master.
//   worker:  y <- c + delta v;  send g(y)          master:  v <- delta v - eta g;  c <- c + v
// Zhang, Choromanska, LeCun 2015. The run's momentum is the master's, in Sutskever's form.
//   MD-1 Each g counts once. One worker: the trajectory of Sutskever's SGD, bit for bit.
#include "protocols_internal.h"
#include "rounds_internal.h"

namespace paceline {
namespace {

struct Mdownpour {
  struct Hyper {
    template <class F>
    void each(F) {}
    Result<> validate(const Place&) const { return success(); }
  };
  struct Push {  // worker -> master: g is there; version 0: where is y?
    std::uint64_t version;
  };
  struct Taken {            // master -> worker
    std::uint64_t version;  ///< of y
  };
  using Message = std::variant<Push, Taken>;
  static constexpr std::uint32_t kGradient = 1;  ///< a worker's slot for g
  static constexpr std::uint32_t kAhead = 1;     ///< the master's slot for y

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place&) {
    const SlotShape vector{math.bytes(dimension)};
    if (role == Role::leader) return {};
    return {vector, vector};
  }
  static bool whole_vectors(Role) { return true; }
  static bool takes(Momentum form) { return form == Momentum::sutskever; }
  static Kept kept(Role role, const Hyper&) {
    if (role == Role::global) return {{"momentum"}, {}};
    return {};
  }
  static nanoseconds patience(Port<Mdownpour> port) { return port.patience(1); }

  static Task<> worker(Port<Mdownpour> port) {
    std::uint64_t version = 0;
    for (;;) {
      std::uint64_t round = version;
      auto taken = co_await ask<Taken>(port, Push{version}, round, patience(port));
      if (!taken) break;
      Pin y = co_await port.pin(port.global(), kAhead, taken->version, patience(port));
      if (y) port.math().copy(port.x(), port.view(y));
      y = Pin();
      if (!port.running()) break;
      co_await port.gradient();
      version = co_await publish_within(port, kGradient, port.g(), patience(port));
      if (version == 0) break;
    }
    co_await publish_within(port, kParameters, port.x(), patience(port));
  }

  static Task<> global(Port<Mdownpour> port) {  // the master
    const Vector c = port.x(), y = port.vector("ahead"), w = port.vector("ahead_momentum");
    Attendance who(port.place());
    std::map<Address, std::uint64_t> taken;  // the last version of each worker's g
    std::uint64_t version = co_await look_ahead(port, y, w);
    while (who.anybody() && version != 0) {
      auto e = co_await port.receive<Push, Gone, Joined>(patience(port));
      if (!e) port.record_missing(0, "a gradient", who.addresses());
      if (who.note(e)) continue;
      const auto push = e.as<Push>();
      if (!push) continue;
      if (taken[e.from()] < push->version) {
        Pin g = co_await port.pin(e.from(), kGradient, push->version, patience(port));
        if (!g) continue;  // it will be told again
        port.math().copy(port.g(), port.view(g));
        taken[e.from()] = g.version();
        g = Pin();
        port.math().copy(c, y);
        port.math().copy(port.vector("momentum"), w);
        port.update();
        port.count("update");
        version = co_await look_ahead(port, y, w);
      }
      port.send(e.from(), Taken{version}, push->version + 1);
    }
    co_await publish_within(port, kParameters, c, patience(port));
  }

  /// Publishes c and y = c + w, w = delta v. @return y's version
  static Task<std::uint64_t> look_ahead(Port<Mdownpour> port, Vector y, Vector w) {
    port.publish(kParameters, port.x());
    port.math().copy(y, port.x());
    port.math().copy(w, port.vector("momentum"));
    port.math().look_ahead(port.sgd(), y, w);
    co_return co_await publish_within(port, kAhead, y, patience(port));
  }
};

}  // namespace

Protocol describe_mdownpour() {
  return describe<Mdownpour>(
      "mdownpour", "DOWNPOUR; Nesterov's momentum at the master",
      "Zhang, Choromanska, LeCun: Deep learning with Elastic Averaging SGD, NeurIPS 2015");
}

}  // namespace paceline
