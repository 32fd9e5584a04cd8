// MVADOWNPOUR: DOWNPOUR whose result is a moving average of its centre.
//   z <- (1 - a) z + a c  before each of the centre's updates;  c <- c + u          a constant
// Zhang, Choromanska, LeCun 2015, where a is 0.001.
#include "downpour_internal.h"
#include "moving_average_internal.h"
#include "protocols_internal.h"

namespace paceline {
namespace {

struct MovingAverage {
  static constexpr bool averages = true;
  using Hyper = MovingAverageHyper<DownpourHyper>;
  static double rate(const Hyper& h, double) { return h.average_rate; }
};

}  // namespace

Protocol describe_mvadownpour() {
  return describe<Downpour<MovingAverage>>(
      "mvadownpour", "DOWNPOUR; a moving average of its centre",
      "Zhang, Choromanska, LeCun: Deep learning with Elastic Averaging SGD, NeurIPS 2015");
}

}  // namespace paceline
