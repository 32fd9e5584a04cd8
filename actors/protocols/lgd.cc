// LGD: synchronous gradient descent in which the best worker leads every step.
//   z = argmin_j f(x^j);   x^i <- x^i - eta (g(x^i) + lambda (x^i - z))
// Teng, Gao, Chalus, Choromanska, Goldfarb, Weller 2019, section 3. The pull is eta lambda here, as
// in the theory, and not lambda as in LSGD's Algorithm 1.
//
// A worker's score is the loss of the batch that its gradient was taken from, exact for full
// gradients. Ties go to the lowest rank; a loss that is not finite never leads.
//   LG-1 z is x^j before the step: slots alternate, so that a leader that is ahead does not replace
//        what others are still to read.
//   LG-2 The leader itself, or a single worker, takes plain SGD's path.
#include "paceline/actors/election.h"
#include "protocols_internal.h"
#include "rounds_internal.h"

namespace paceline {
namespace {

struct Lgd {
  struct Hyper {
    double lambda = 0.5;

    template <class F>
    void each(F f) {
      f("lambda", lambda);
    }
    Result<> validate(const Place&) const {
      if (!(lambda >= 0))
        return fail(std::errc::invalid_argument, "lambda is {}: give 0 or more", lambda);
      return success();
    }
  };
  struct Score {  // worker -> global leader
    double loss;
    std::uint64_t version;
  };
  struct Lead {  // global leader -> workers
    Rank rank;
    std::uint64_t version;
  };
  using Message = std::variant<Score, Lead>;
  static constexpr std::uint32_t kTurns = 1;  ///< the first of two slots, for odd and even rounds

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place&) {
    const SlotShape vector{math.bytes(dimension)};
    if (role == Role::worker) return {vector, vector, vector};
    return {};
  }
  static bool whole_vectors(Role role) { return role == Role::worker; }
  static constexpr bool repeatable = true;
  static constexpr bool shown_on_request = true;
  static nanoseconds patience(Port<Lgd> port) { return port.patience(1); }

  static Task<> worker(Port<Lgd> port) {
    std::uint64_t round = 0;
    auto lead = co_await ask<Lead>(port, Score{0, 0}, round, patience(port));
    while (port.running()) {
      port.look_ahead();
      const double loss = co_await port.gradient();
      const std::uint32_t slot = kTurns + round % 2;
      Score score{loss, 0};
      if (lead) score.version = co_await publish_within(port, slot, port.x(), patience(port));
      if (lead) lead = co_await ask<Lead>(port, score, round, patience(port));
      if (lead && lead->rank != kNobody && lead->rank != port.rank()) {
        Pin z =
            co_await port.pin(port.place().worker(lead->rank), slot, lead->version, patience(port));
        if (z) port.pull(port.view(z), port.learning_rate() * port.hyper().lambda);
      }
      port.update();
    }
    co_await publish_within(port, kParameters, port.x(), patience(port));
  }

  static Task<> global(Port<Lgd> port) {
    Attendance who(port.place());
    std::map<Address, Score> scores;
    Candidate best;
    Lead lead{kNobody, 0};
    for (std::uint64_t round = 1; who.anybody(); ++round) {
      co_await gather(port, who, round, lead, scores, patience(port));
      Ballot ballot;
      for (const auto& [worker, score] : scores)
        ballot.cast({worker.index, score.loss, score.version});
      if (scores.empty()) break;
      best = ballot.best();
      lead = {best.rank, best.version};
      port.count("round");
      port.record(LeaderEvent{Scope::global, round, best.rank, best.score, best.version, false});
      tell_all(port, who, lead, round + 1);
    }
    port.record(LeaderEvent{Scope::global, 0, best.rank, best.score, best.version, true});
  }
};

}  // namespace

Protocol describe_lgd() {
  return describe<Lgd>(
      "lgd", "the best worker leads every step",
      "Teng, Gao, Chalus, Choromanska, Goldfarb, Weller: Leader SGD, NeurIPS 2019, section 3");
}

}  // namespace paceline
