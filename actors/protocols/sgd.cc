// SGD, the sequential baseline: x <- x - eta g(x), in the run's form of momentum.
// Robbins and Monro 1951. MSGD is the same with Sutskever's form of Nesterov's momentum:
//   v <- delta v - eta g(x + delta v);  x <- x + v
// Sutskever, Martens, Dahl, Hinton 2013.
#include "protocols_internal.h"
#include "solo_internal.h"

namespace paceline {
namespace {

struct Plain {
  static constexpr bool averages = false;
  struct Hyper : SoloHyper {
    template <class F>
    void each(F f) {
      f("tau", tau);
    }
  };
  static bool takes(Momentum) { return true; }
};
struct WithMomentum : Plain {
  static bool takes(Momentum form) { return form == Momentum::sutskever; }
};

}  // namespace

Protocol describe_sgd() {
  return describe<Solo<Plain>>("sgd", "one worker, the run's optimiser",
                               "Robbins, Monro: A stochastic approximation method, 1951");
}
Protocol describe_msgd() {
  return describe<Solo<WithMomentum>>("msgd",
                                      "one worker, Nesterov's momentum, as Sutskever writes it",
                                      "Sutskever, Martens, Dahl, Hinton: On the importance of "
                                      "initialization and momentum, ICML 2013");
}

}  // namespace paceline
