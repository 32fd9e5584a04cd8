// ASGD and MVASGD: sequential SGD whose result is an average of its path.
//   z <- (1 - a_t) z + a_t x_t;   x <- x - eta g(x)      a_t = 1 / (t + 1), or a constant
// Polyak and Juditsky 1992; the moving average as in Zhang, Choromanska, LeCun 2015, a = 0.001.
#include "moving_average_internal.h"
#include "protocols_internal.h"
#include "solo_internal.h"

namespace paceline {
namespace {

struct PolyakAverage {
  static constexpr bool averages = true;
  struct Hyper : SoloHyper {
    template <class F>
    void each(F f) {
      f("tau", tau);
    }
  };
  static bool takes(Momentum) { return true; }
  static double rate(const Hyper&, std::uint64_t t) { return 1 / (static_cast<double>(t) + 1); }
};

struct MovingAverage {
  static constexpr bool averages = true;
  using Hyper = MovingAverageHyper<SoloHyper>;
  static bool takes(Momentum) { return true; }
  static double rate(const Hyper& h, std::uint64_t) { return h.average_rate; }
};

}  // namespace

Protocol describe_asgd() {
  return describe<Solo<PolyakAverage>>(
      "asgd", "one worker; the mean of its path",
      "Polyak, Juditsky: Acceleration of stochastic approximation by averaging, 1992");
}
Protocol describe_mvasgd() {
  return describe<Solo<MovingAverage>>(
      "mvasgd", "one worker; a moving average of its path",
      "Zhang, Choromanska, LeCun: Deep learning with Elastic Averaging SGD, NeurIPS 2015");
}

}  // namespace paceline
