// MVADOWNPOUR: DOWNPOUR whose result is a moving average of its centre.
//   z <- (1 - a) z + a c  before each of the centre's updates;  c <- c + u          a constant
// Zhang, Choromanska, LeCun 2015, where a is 0.001.
#include "downpour_internal.h"
#include "protocols_internal.h"

namespace paceline {
namespace {

struct MovingAverage {
  static constexpr bool averages = true;
  struct Hyper : DownpourHyper {
    double average_rate = 0.001;

    template <class F>
    void each(F f) {
      f("tau", tau), f("average_rate", average_rate);
    }
    Result<> validate(const Place& place) const {
      if (!(average_rate >= 0 && average_rate <= 1))
        return fail(std::errc::invalid_argument, "average_rate is {}: give 0 to 1", average_rate);
      return DownpourHyper::validate(place);
    }
  };
  static double rate(const Hyper& h, double) { return h.average_rate; }
};

}  // namespace

Protocol describe_mvadownpour() {
  return describe<Downpour<MovingAverage>>(
      "mvadownpour", "DOWNPOUR; a moving average of its centre",
      "Zhang, Choromanska, LeCun: Deep learning with Elastic Averaging SGD, NeurIPS 2015");
}

}  // namespace paceline
