// Local SGD: workers step on their own and every tau steps all become their mean.
//   x^i <- x^i - eta g^i(x^i);   tau | t:  x^i <- mean_j x^j         by all-reduce
// Stich 2019; Woodworth et al. 2020. Momentum stays local.
//   LO-1 With tau = 1, no momentum and one start it is minibatch SGD up to rounding; one worker is
//        plain SGD bit for bit.
#include "all_reduce_internal.h"
#include "protocols_internal.h"

namespace paceline {
namespace {

struct LocalSgd {
  struct Hyper {
    std::uint64_t tau = 4;  ///< steps

    template <class F>
    void each(F f) {
      f("tau", tau);
    }
    Result<> validate(const Place&) const {
      if (tau == 0) return fail(std::errc::invalid_argument, "tau is 0: give at least 1 step");
      return success();
    }
  };
  using Message = std::variant<AllReduce::Sent, AllReduce::Next>;

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place& place) {
    return AllReduce::slots(role, math, dimension, place);
  }
  static bool whole_vectors(Role role) { return role == Role::worker; }
  static constexpr bool repeatable = true;
  static constexpr bool shown_on_request = true;

  static Task<> worker(Port<LocalSgd> port) {
    const std::uint64_t tau = port.hyper().tau;
    AllReduce::Member<LocalSgd> all{port, port.patience(tau)};
    for (std::uint64_t t = port.steps() + 1; port.running(); ++t) {
      co_await port.step();
      if (t % tau == 0) co_await all.mean(port.x());
    }
    co_await publish_within(port, kParameters, port.x(), port.patience(tau));
  }
  static Task<> global(Port<LocalSgd> port) {
    co_await AllReduce::conduct(port, port.patience(port.hyper().tau));
  }
};

}  // namespace

Protocol describe_local_sgd() {
  return describe<LocalSgd>("local-sgd", "the mean of all every tau steps, by all-reduce",
                            "Stich: Local SGD converges fast and communicates little, ICLR 2019");
}

}  // namespace paceline
