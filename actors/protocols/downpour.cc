// DOWNPOUR: workers step on their own and send what they moved by.
//   u <- u - eta g(x);  x <- x - eta g(x);   every tau steps:  c <- c + u;  u <- 0;  x <- c
// Dean et al. 2012, as implemented for Zhang, Choromanska, LeCun 2015. With tau = 1 it is
// asynchronous SGD. With momentum or weight decay u is the sum of the steps that x has taken.
#include "downpour_internal.h"
#include "protocols_internal.h"

namespace paceline {
namespace {

struct NoAverage {
  static constexpr bool averages = false;
  struct Hyper : DownpourHyper {
    template <class F>
    void each(F f) {
      f("tau", tau);
    }
  };
};

}  // namespace

Protocol describe_downpour() {
  return describe<Downpour<NoAverage>>(
      "downpour", "workers push their steps",
      "Dean et al.: Large scale distributed deep networks, NeurIPS 2012");
}

}  // namespace paceline
