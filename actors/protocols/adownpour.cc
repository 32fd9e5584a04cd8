// ADOWNPOUR: DOWNPOUR whose result is the mean of all that its centre has been.
//   z <- (1 - a) z + a c,  a = 1 / (t + 1), before the centre's update t = 0, 1, ...;  c <- c + u
// Zhang, Choromanska, LeCun 2015, after Polyak and Juditsky 1992.
#include "downpour_internal.h"
#include "protocols_internal.h"

namespace paceline {
namespace {

struct PolyakAverage {
  static constexpr bool averages = true;
  struct Hyper : DownpourHyper {
    template <class F>
    void each(F f) {
      f("tau", tau);
    }
  };
  static double rate(const Hyper&, double updates) { return 1 / (updates + 1); }
};

}  // namespace

Protocol describe_adownpour() {
  return describe<Downpour<PolyakAverage>>(
      "adownpour", "DOWNPOUR; the mean of its centre's path",
      "Zhang, Choromanska, LeCun: Deep learning with Elastic Averaging SGD, NeurIPS 2015");
}

}  // namespace paceline
