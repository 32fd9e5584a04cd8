// The constants of elastic averaging, in rounds or without.
#pragma once

#include <algorithm>

#include "paceline/actors/protocol.h"

namespace paceline {

struct ElasticHyper {
  std::uint64_t tau = 4;  ///< steps
  double beta = 0.9;      ///< p alpha

  template <class F>
  void each(F f) {
    f("tau", tau), f("beta", beta);
  }
  /// @param p  workers
  double alpha(std::uint32_t p) const { return std::min(1.0, beta / std::max(1U, p)); }
  Result<> validate(const Place& place) const {
    if (tau == 0) return fail(std::errc::invalid_argument, "tau is 0: give at least 1 step");
    if (!(beta >= 0 && beta <= place.workers()))
      return fail(std::errc::invalid_argument, "beta is {}: give 0 to {}, the number of workers",
                  beta, place.workers());
    return success();
  }
};

}  // namespace paceline
