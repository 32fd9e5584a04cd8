// Linearised ADMM in round-robin: worker i acts when t mod p = i - 1.
//   l^i <- l^i - (x^i - c)
//   x^i <- (x^i - eta g(x^i) + eta rho (l^i + c)) / (1 + eta rho)
//   c   <- 1/p sum_j (x^j - l^j)
// Zhang, Choromanska, LeCun 2015, section 3, which shows that it can grow where EASGD is stable. In
// the simulator alone. Worker j publishes x^j - l^j.
#include "protocols_internal.h"
#include "round_robin_internal.h"

namespace paceline {
namespace {

struct Admm {
  struct Hyper {
    double rho = 1;

    template <class F>
    void each(F f) {
      f("rho", rho);
    }
    Result<> validate(const Place&) const {
      if (!(rho >= 0)) return fail(std::errc::invalid_argument, "rho is {}: give 0 or more", rho);
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
  static bool takes(Momentum form) { return form == Momentum::none; }
  static nanoseconds patience(Port<Admm> port) { return port.patience(port.place().workers()); }

  static Task<> worker(Port<Admm> port) {
    const Vector x = port.x(), l = port.vector("lambda"), q = port.vector("difference");
    port.math().copy(q, x);
    const std::uint64_t first =
        co_await publish_within(port, RoundRobin::kAnswer, q, patience(port));
    const auto act = [port, x, l, q](const Pin& c) { return turn(port, x, l, q, port.view(c)); };
    co_await RoundRobin::ride(port, first, act);
  }

  static Task<std::uint64_t> turn(Port<Admm> port, Vector x, Vector l, Vector q, ConstVector c) {
    const VectorMath& math = port.math();
    co_await port.gradient();
    const double eta = port.learning_rate(), eta_rho = eta * port.hyper().rho;
    math.axpy(l, -1, x);
    math.axpy(l, 1, c);
    math.axpy(x, -eta, port.g());
    math.axpy(x, eta_rho, l);
    math.axpy(x, eta_rho, c);
    math.scale(x, 1 / (1 + eta_rho));
    math.difference(q, 1, x, l);
    co_return co_await publish_within(port, RoundRobin::kAnswer, q, patience(port));
  }

  static Task<> global(Port<Admm> port) {  // the centre
    std::map<Address, Pin> parts;          // x^j - l^j, by rank
    const auto take = [port, &parts](Address from, RoundRobin::Sent sent) {
      return renew(port, parts, from, sent);
    };
    co_await RoundRobin::call(port, take);
  }

  static Task<> renew(Port<Admm> port, std::map<Address, Pin>& parts, Address from,
                      RoundRobin::Sent sent) {
    parts[from] = co_await port.pin(from, RoundRobin::kAnswer, sent.version, patience(port));
    std::vector<ConstVector> all;
    for (const auto& [worker, part] : parts)
      if (part) all.push_back(port.view(part));
    if (!all.empty()) port.math().mean(port.x(), all);
    port.count("turn");
  }
};

}  // namespace

Protocol describe_admm() {
  return describe<Admm>("admm", "linearised ADMM, one worker at a time",
                        "Zhang, Choromanska, LeCun: Deep learning with Elastic Averaging SGD, "
                        "NeurIPS 2015, section 3");
}

}  // namespace paceline
