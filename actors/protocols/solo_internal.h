// Sequential optimisers, the baselines: one worker, nobody to talk to. What it publishes every tau
// steps, and at the end, is its x or an average z of its path.
//   SO-1 x takes the path of the run's optimiser, whatever is averaged.
#pragma once

#include "paceline/actors/protocol.h"

namespace paceline {

/// The settings of all; an Average's Hyper derives from it.
struct SoloHyper {
  std::uint64_t tau = 4;  ///< steps between two publications

  Result<> validate(const Place& place) const {
    if (tau == 0) return fail(std::errc::invalid_argument, "tau is 0: give at least 1 step");
    if (place.workers() != 1)
      return fail(std::errc::invalid_argument, "a sequential protocol with {} workers: give 1",
                  place.workers());
    return success();
  }
};

/// @param Average  Hyper; `averages`: whether there is a z; rate(hyper, t): how much of x_t goes into it
template <class Average>
struct Solo {
  using Self = Solo;
  using Hyper = typename Average::Hyper;
  struct Nothing {};
  using Message = std::variant<Nothing>;
  static constexpr bool sequential = true;
  static constexpr bool repeatable = true;

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place&) {
    if (role != Role::worker) return {};
    return {{math.bytes(dimension)}};
  }
  static bool whole_vectors(Role) { return true; }
  static bool takes(Momentum form) { return Average::takes(form); }
  static Kept kept(Role, const Hyper&) {
    if (Average::averages) return {{"average"}, {}};
    return {};
  }

  static Task<> worker(Port<Self> port) {
    const Vector x = port.x();
    const Vector z = Average::averages ? port.vector("average") : x;
    if (Average::averages && port.steps() == 0) port.math().copy(z, x);
    for (std::uint64_t t = port.steps(); port.running(); ++t) {
      if constexpr (Average::averages) port.math().pull(z, {x, Average::rate(port.hyper(), t)});
      const double loss = co_await port.step();
      if ((t + 1) % port.hyper().tau != 0) continue;
      const std::uint64_t version = port.publish(kParameters, z);
      if (version == 0) continue;
      port.record(LeaderEvent{Scope::global, t + 1, port.rank(), loss, version, false});
    }
    co_await publish_within(port, kParameters, z, port.patience(1));
  }
};

}  // namespace paceline
