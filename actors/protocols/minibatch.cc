// Minibatch SGD by all-reduce: every step takes the mean gradient of all workers.
//   g <- mean_i g^i(x);   x <- x - eta g          every worker the same x, in the same bits
// Goyal et al. 2017; PyTorch's DistributedDataParallel. In the run's form of momentum.
//   MB-1 One worker is plain SGD bit for bit. Workers that begin at one x stay at one x.
#include "all_reduce_internal.h"
#include "protocols_internal.h"

namespace paceline {
namespace {

struct Minibatch {
  struct Hyper {
    template <class F>
    void each(F) {}
    Result<> validate(const Place&) const { return success(); }
  };
  using Message = std::variant<AllReduce::Sent, AllReduce::Next>;

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place& place) {
    return AllReduce::slots(role, math, dimension, place);
  }
  static bool whole_vectors(Role role) { return role == Role::worker; }
  static constexpr bool repeatable = true;
  static constexpr bool shown_on_request = true;

  static Task<> worker(Port<Minibatch> port) {
    AllReduce::Member<Minibatch> all{port, port.patience(1)};
    while (port.running()) {
      port.look_ahead();
      co_await port.gradient();
      co_await all.mean(port.g());
      port.update();
    }
    co_await publish_within(port, kParameters, port.x(), port.patience(1));
  }
  static Task<> global(Port<Minibatch> port) {
    co_await AllReduce::conduct(port, port.patience(1));
  }
};

}  // namespace

Protocol describe_minibatch() {
  return describe<Minibatch>("minibatch-sgd", "the mean gradient of all, every step, by all-reduce",
                             "Goyal et al.: Accurate, large minibatch SGD, 2017");
}

}  // namespace paceline
