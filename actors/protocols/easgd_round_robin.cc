// EASGD in round-robin: worker i acts when t mod p = i - 1.
//   d = alpha (x^i - c);   x^i <- x^i - eta g(x^i) - d;   c <- c + d
// Zhang, Choromanska, LeCun 2015, section 3: on x^2 / 2 stable exactly where 0 <= eta <= 2 and
// 0 <= alpha <= (4 - 2 eta) / (4 - eta), for every p. In the simulator alone.
#include "protocols_internal.h"
#include "round_robin_internal.h"

namespace paceline {
namespace {

struct EasgdRoundRobin {
  struct Hyper {
    double alpha = 0.5;

    template <class F>
    void each(F f) {
      f("alpha", alpha);
    }
    Result<> validate(const Place&) const {
      if (!(alpha >= 0))
        return fail(std::errc::invalid_argument, "alpha is {}: give 0 or more", alpha);
      return success();
    }
  };
  using Message = std::variant<RoundRobin::Sent, RoundRobin::Turn>;
  static constexpr bool simulated_only = true;

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place& place) {
    return RoundRobin::slots(role, math, dimension, place);
  }
  static bool whole_vectors(Role) { return true; }
  static nanoseconds patience(Port<EasgdRoundRobin> port) {
    return port.patience(port.place().workers());
  }

  static Task<> worker(Port<EasgdRoundRobin> port) {
    const Vector d = port.vector("elastic");
    const auto act = [port, d](const Pin& c) { return turn(port, d, port.view(c)); };
    co_await RoundRobin::ride(port, 0, act);
  }

  static Task<std::uint64_t> turn(Port<EasgdRoundRobin> port, Vector d, ConstVector c) {
    port.math().difference(d, port.hyper().alpha, port.x(), c);
    co_await port.step();
    port.math().axpy(port.x(), -1, d);
    co_return co_await publish_within(port, RoundRobin::kAnswer, d, patience(port));
  }

  static Task<> global(Port<EasgdRoundRobin> port) {  // the centre
    const auto take = [port](Address from, RoundRobin::Sent sent) { return add(port, from, sent); };
    co_await RoundRobin::call(port, take);
  }

  static Task<> add(Port<EasgdRoundRobin> port, Address from, RoundRobin::Sent sent) {
    if (sent.version == 0) co_return;  // it has just come
    Pin d = co_await port.pin(from, RoundRobin::kAnswer, sent.version, patience(port));
    if (d) port.math().axpy(port.x(), 1, port.view(d));
    port.count("turn");
  }
};

}  // namespace

Protocol describe_easgd_round_robin() {
  return describe<EasgdRoundRobin>("easgd-round-robin", "elastic averaging, one worker at a time",
                                   "Zhang, Choromanska, LeCun: Deep learning with Elastic "
                                   "Averaging SGD, NeurIPS 2015, section 3");
}

}  // namespace paceline
