// DOWNPOUR and its averages share all but what the centre makes of its own path: workers that step
// on their own and send what they moved by, on their own clocks.
//   worker, every tau steps:  c <- c + u;  u <- 0;  x <- c          u: the sum of its steps
//   centre, before each:      z <- z + alpha_t (c - z)              alpha_t: Average's
//   DP-1 Each u counts once, told once or often. What a crashed worker has sent stays with c.
//   DP-2 Workers begin at c, also who takes another's place.
//   DP-3 One worker, tau 1, no decay and no momentum: c is plain SGD, bit for bit.
#pragma once

#include "rounds_internal.h"

namespace paceline {

/// u += the step that update() has just taken from `before`; in the bits of -eta g where it is that.
template <class P>
void add_step(Port<P> port, Vector u, Vector before, Vector delta) {
  const Sgd& sgd = port.sgd();
  if (sgd.form == Momentum::none && sgd.weight_decay == 0 && sgd.gradient_scale == 1) {
    port.math().axpy(u, -sgd.learning_rate, port.g());
    return;
  }
  port.math().difference(delta, 1, port.x(), before);
  port.math().axpy(u, 1, delta);
}

/// @param Average  static double rate(const Hyper&, updates): how much of c goes into z; a Hyper that
///                 derives from DownpourHyper; `averages`, whether there is a z
struct DownpourHyper {
  std::uint64_t tau = 4;  ///< steps

  Result<> validate(const Place&) const {
    if (tau == 0) return fail(std::errc::invalid_argument, "tau is 0: give at least 1 step");
    return success();
  }
};

template <class Average>
struct Downpour {
  using Self = Downpour;
  using Hyper = typename Average::Hyper;
  struct Push {  // worker -> centre: u is there; version 0: where is c?
    std::uint64_t version;
  };
  struct Taken {            // centre -> worker
    std::uint64_t version;  ///< of c
  };
  using Message = std::variant<Push, Taken>;
  static constexpr std::uint32_t kSteps = 1;  ///< a worker's slot for u
  /// The centre's slot for c: that for its parameters holds z, if there is one.
  static constexpr std::uint32_t kCentre = Average::averages ? 1 : kParameters;

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place&) {
    const SlotShape vector{math.bytes(dimension)};
    if (role == Role::worker || (role == Role::global && Average::averages))
      return {vector, vector};
    if (role == Role::global) return {vector};
    return {};
  }
  static bool whole_vectors(Role) { return true; }
  static Kept kept(Role role, const Hyper&) {
    if (role == Role::global && Average::averages) return {{"average"}, {{"updates", 1}}};
    return {};
  }
  static nanoseconds patience(Port<Self> port) { return port.patience(port.hyper().tau); }

  static Task<> worker(Port<Self> port) {
    const Vector u = port.vector("steps"), before = port.vector("before"),
                 delta = port.vector("delta");
    std::uint64_t version = 0;  // of u
    bool alone = co_await exchange(port, version, u);
    for (std::uint64_t t = 1; port.running(); ++t) {
      port.math().copy(before, port.x());
      co_await port.step();
      add_step(port, u, before, delta);
      if (alone || t % port.hyper().tau != 0) continue;
      version = co_await publish_within(port, kSteps, u, patience(port));
      if (version != 0) alone = co_await exchange(port, version, u);
    }
    co_await publish_within(port, kParameters, port.x(), patience(port));
  }

  /// Has the centre take `version` of u, and goes to where it is. @return whether it is gone
  static Task<bool> exchange(Port<Self> port, std::uint64_t version, Vector u) {
    std::uint64_t round = version;
    auto taken = co_await ask<Taken>(port, Push{version}, round, patience(port));
    if (!taken) co_return true;
    port.math().fill(u, 0);
    Pin c = co_await port.pin(port.global(), kCentre, taken->version, patience(port));
    if (c) port.math().copy(port.x(), port.view(c));
    co_return false;
  }

  static Task<> global(Port<Self> port) {  // the centre
    const Vector c = port.x();
    Vector z = c;
    std::span<double> updates;
    if constexpr (Average::averages) {
      z = port.vector("average");
      updates = port.numbers("updates", 1);
      if (updates[0] == 0) port.math().copy(z, c);
      port.publish(kParameters, z);
    }
    Attendance who(port.place());
    std::map<Address, std::uint64_t> taken;  // the last version of each worker's u
    std::uint64_t version = co_await publish_within(port, kCentre, c, patience(port));
    while (who.anybody()) {
      auto e = co_await port.template receive<Push, Gone, Joined>(patience(port));
      if (!e) port.record_missing(0, "a push", who.addresses());
      if (who.note(e)) continue;
      const auto push = e.template as<Push>();
      if (!push) continue;
      if (taken[e.from()] < push->version) {
        Pin u = co_await port.pin(e.from(), kSteps, push->version, patience(port));
        if (!u) continue;  // it will be told again
        if constexpr (Average::averages)
          port.math().pull(z, {c, Average::rate(port.hyper(), updates[0]++)});
        port.math().axpy(c, 1, port.view(u));
        taken[e.from()] = u.version();
        u = Pin();
        port.count("update");
        version = co_await publish_within(port, kCentre, c, patience(port));
        if constexpr (Average::averages) port.publish(kParameters, z);
      }
      port.send(e.from(), Taken{version}, push->version + 1);
    }
    co_await publish_within(port, kParameters, z, patience(port));
  }
};

}  // namespace paceline
