// The laws of what averages: minibatch SGD and Local SGD by all-reduce (ALGORITHMS 5.1), SwarmSGD (3.5);
// and of LGD (1.7).
#include "simulated_run.h"

namespace paceline {
namespace {

Values mean_of(const std::vector<Values>& all) {
  Values mean(all.front().size());
  for (const Values& x : all)
    for (std::size_t i = 0; i < x.size(); ++i) mean[i] += x[i] / static_cast<double>(all.size());
  return mean;
}
void exact_gradients(VirtualRun& run) {
  run.engine = [](Rank r) {
    return std::make_unique<LeastSquares<double>>(40, kDimension, 40, Rng(7, r));
  };
}

// 10.1
TEST(AllReduce, OneWorkerIsPlainSgdBitForBit) {
  for (const char* name : {"minibatch-sgd", "local-sgd", "swarm", "lgd"}) {
    VirtualRun run = plan(name, {1, 1}, {}, kRough);
    run.sgd = {
        .learning_rate = 0.005, .momentum = 0.9, .weight_decay = 1e-3, .form = Momentum::nesterov};
    VirtualTime time = ride(run);
    EXPECT_EQ(values(time.worker(0)), plain_sgd(run, 0, run.steps)) << name;
    EXPECT_EQ(published(time, run, {0}), values(time.worker(0))) << name;
  }
}

// 5.1: x <- x - eta mean g, with a vector that does not divide evenly.
TEST(AllReduce, MinibatchStepsByTheMeanGradientAndAllKeepTheSameBits) {
  VirtualRun run = plan("minibatch-sgd", {2, 3}, {}, kRough);
  exact_gradients(run);
  begin_together(run);
  VirtualTime time = ride(run);
  Values x = initial(run, {0}), g(kDimension);
  Rng rng(0);
  for (std::uint64_t t = 0; t < run.steps; ++t) {
    Values sum(kDimension);
    for (Rank r = 0; r < 6; ++r) {
      run.engine(r)->gradient({x.data(), kDimension}, {g.data(), kDimension}, rng);
      for (std::size_t i = 0; i < kDimension; ++i) sum[i] += g[i];
    }
    for (std::size_t i = 0; i < kDimension; ++i) x[i] -= 0.02 * sum[i] / 6;
  }
  for (const Values& own : all_x(time, run)) {
    EXPECT_EQ(own, values(time.worker(0)));
    EXPECT_LT(distance_squared(own, x), 1e-24);
  }
  EXPECT_EQ(time.count("round"), run.steps);
}

// 5.1: K = 1.
TEST(AllReduce, LocalSgdWithTauOneIsMinibatchSgd) {
  VirtualRun run = plan("minibatch-sgd", {2, 2}, {}, kRough);
  begin_together(run);
  VirtualTime minibatch = ride(run);
  run.protocol = find_protocol("local-sgd");
  run.settings = {{"tau", "1"}};
  VirtualTime local = ride(run);
  EXPECT_LT(distance_squared(values(local.worker(0)), values(minibatch.worker(0))), 1e-24);
}

// 5.1: the same data and seeds everywhere.
TEST(AllReduce, LocalSgdOnIdenticalWorkersIsSgd) {
  VirtualRun run = plan("local-sgd", {1, 4}, {}, kRough);
  begin_together(run);
  run.engine = [](Rank) {
    return std::make_unique<LeastSquares<double>>(40, kDimension, 40, Rng(7, 0));
  };
  VirtualTime time = ride(run);
  EXPECT_EQ(values(time.worker(3)), plain_sgd(run, 0, run.steps));
}

// 5.1: equal Hessians, exact gradients.
TEST(AllReduce, LocalSgdsMeanFollowsGradientDescentWhereHessiansAreEqual) {
  class Bowl final : public GradientEngine {  // |x - r|^2 / 2
   public:
    explicit Bowl(double at) : at_(at) {}
    double gradient(ConstVector x, Vector g, Rng&) override {
      for (std::size_t i = 0; i < x.count; ++i)
        elements<double>(g)[i] = elements<double>(x)[i] - at_;
      return 0;
    }

   private:
    const double at_;
  };
  VirtualRun run = plan("local-sgd", {1, 4}, {{"tau", "8"}}, kRough);
  begin_together(run);
  run.engine = [](Rank r) { return std::make_unique<Bowl>(r); };
  VirtualTime time = ride(run);
  run.engine = [](Rank) { return std::make_unique<Bowl>(1.5); };
  EXPECT_LT(distance_squared(mean_of(all_x(time, run)), plain_sgd(run, 0, run.steps)), 1e-24);
}

// 10.6: nobody waits for the dead; who takes a place takes part.
TEST(AllReduce, ACrashInAnyPhaseLeavesTheOthersTogether) {
  for (int at = 10; at < 60; at += 3) {
    VirtualRun run = plan("minibatch-sgd", {2, 2}, {}, kRough);
    begin_together(run);
    run.conditions.patience = 100ms;
    run.conditions.crashes = {{at * 1ms + 137us * (at % 8), {1}}};
    VirtualTime time = ride(run);
    for (const Rank r : {0, 2, 3}) {
      EXPECT_EQ(time.worker(r).steps(), 100u);
      EXPECT_EQ(values(time.worker(r)), values(time.worker(0))) << at;
    }
    EXPECT_TRUE(time.faults().empty()) << time.faults().front();
    run.conditions.crashes[0].replaced_after = 3ms;
    VirtualTime again = ride(run);
    EXPECT_GT(again.worker(1).steps(), 50u);
  }
}

// 3.5.1: Swarm conserves the sum; both forms, all timings, losses.
TEST(Swarm, WithoutGradientsTheSumIsConservedAndWorkersMeet) {
  for (const char* mode : {"barrier", "nonblocking"})
    for (const std::uint32_t lost : {0u, 10'000u})
      for (const Place place : {Place{1, 2}, Place{1, 5}, Place{4, 4}}) {
        VirtualRun run = plan("swarm", place, {{"mode", mode}, {"tau", "2"}}, kRough);
        run.conditions.patience = 20ms;
        run.conditions.lost_per_million = lost;
        run.engine = [](Rank) { return std::make_unique<Level<double>>(1); };
        run.steps = 300;
        VirtualTime time = ride(run);
        const auto all = all_x(time, run);
        std::vector<Values> before;
        for (Rank r = 0; r < place.workers(); ++r) before.push_back(initial(run, {r}));
        EXPECT_LT(distance_squared(mean_of(all), mean_of(before)), 1e-24) << mode;
        EXPECT_LT(distance_squared(all[0], all[1]), 1e-6) << mode << ' ' << place.workers();
        EXPECT_GT(time.count("exchange"), 50u * place.workers()) << mode;
      }
}

// 3.5.2: sum |x_i - mean|^2 never grows.
TEST(Swarm, WithoutGradientsWorkersNeverComeFurtherApart) {
  for (const char* mode : {"barrier", "nonblocking"}) {
    VirtualRun run = plan("swarm", {1, 16}, {{"mode", mode}, {"tau", "2"}});
    run.engine = [](Rank) { return std::make_unique<Level<double>>(1); };
    double before = HUGE_VAL;
    for (run.steps = 4; run.steps <= 40; run.steps += 4) {
      VirtualTime time = ride(run);
      const auto all = all_x(time, run);
      double apart = 0;
      for (const Values& x : all) apart += distance_squared(x, mean_of(all));
      EXPECT_LE(apart, before * (1 + 1e-12)) << mode << ' ' << run.steps;
      before = apart;
    }
    EXPECT_GT(before, 0) << mode;
  }
}

// 3.5.1: with gradients the sum changes by the steps alone.
TEST(Swarm, WithConstantGradientsTheMeanMovesByThemAlone) {
  class Slope final : public GradientEngine {
   public:
    double gradient(ConstVector, Vector g, Rng&) override {
      std::ranges::fill(elements<double>(g), 1.0);
      return 0;
    }
  };
  for (const char* mode : {"barrier", "nonblocking"}) {
    VirtualRun run = plan("swarm", {2, 3}, {{"mode", mode}}, kRough);
    run.engine = [](Rank) { return std::make_unique<Slope>(); };
    VirtualTime time = ride(run);
    Values expected(kDimension);
    for (Rank r = 0; r < 6; ++r)
      for (std::size_t i = 0; i < kDimension; ++i) expected[i] += initial(run, {r})[i] / 6;
    for (double& value : expected) value -= 0.02 * static_cast<double>(run.steps);
    EXPECT_LT(distance_squared(mean_of(all_x(time, run)), expected), 1e-22) << mode;
  }
}

// 3.5.4: H = 1, n = 2, blocking.
TEST(Swarm, TwoWorkersThatBlockAreLocalSgd) {
  VirtualRun run =
      plan("swarm", {1, 2}, {{"mode", "barrier"}, {"tau", "1"}, {"geometric", "false"}});
  run.conditions.local_delay = 5us;
  VirtualTime pairs = ride(run);
  run.protocol = find_protocol("local-sgd");
  run.settings = {{"tau", "1"}};
  VirtualTime local = ride(run);
  EXPECT_EQ(pairs.count("exchange"), 2 * (run.steps - 1));  // who has ended looks for nobody
  run.steps -= 1;
  VirtualTime before = ride(run);
  EXPECT_LT(distance_squared(mean_of(all_x(pairs, run)), mean_of(all_x(local, run))), 1e-24);
}

// 3.5.5
TEST(Swarm, GeometricAndFixedLocalStepsHaveTheSameMean) {
  for (const char* geometric : {"true", "false"}) {
    VirtualRun run = plan("swarm", {1, 4}, {{"tau", "5"}, {"geometric", geometric}});
    run.steps = 4000;
    VirtualTime time = ride(run);
    const double mean = 4.0 * 4000 / static_cast<double>(time.count("exchange"));
    EXPECT_NEAR(mean, 5, 0.5) << geometric;
  }
}

TEST(Swarm, TheCrashOfAPartnerDoesNotStopTheOthers) {
  for (const char* mode : {"barrier", "nonblocking"})
    for (int at = 20; at < 40; ++at) {
      VirtualRun run = plan("swarm", {1, 4}, {{"mode", mode}}, kRough);
      run.conditions.crashes = {{at * 1ms + 100us * (at % 10), {2}}};
      VirtualTime time = ride(run);
      for (const Rank r : {0, 1, 3}) EXPECT_EQ(time.worker(r).steps(), 100u) << mode;
      EXPECT_TRUE(time.faults().empty()) << time.faults().front();
    }
}

// 1.7.6: the leader is stationary, and every worker gets there.
TEST(Lgd, LeavesTheCurseOfSymmetryForTheDeeperWell) {
  for (const auto& [lambda, followers] : {std::pair{"2", -1.00619}, {"0.05", 0.9808}}) {
    VirtualRun run = plan("lgd", {1, 4}, {{"lambda", lambda}});
    run.sgd.learning_rate = 0.02;
    run.steps = 5000;
    run.dimension = 1;
    run.engine = [](Rank) { return std::make_unique<DoubleWell<double>>(0.05); };
    run.initial = [](Address who, Vector x) {
      const double start[] = {-1.2, -0.9, 0.8, 1.3};
      elements<double>(x)[0] = who.index < 4 ? start[who.index] : 0;
    };
    VirtualTime time = ride(run);
    EXPECT_NEAR(values(time.worker(0))[0], -1.00619, 1e-5);
    EXPECT_NEAR(values(time.worker(3))[0], followers, 1e-4);
  }
}

// 1.7.7
TEST(Lgd, OnAConvexObjectiveEveryWorkerReachesTheOptimum) {
  VirtualRun run = plan("lgd", {2, 2}, {}, kRough);
  run.engine = [](Rank) {
    return std::make_unique<LeastSquares<double>>(40, kDimension, 40, Rng(7, 0));
  };
  run.sgd.learning_rate = 0.2;
  run.steps = 3000;
  VirtualTime time = ride(run);
  const Values best = optimum(run, 0.3, 6000);
  for (const Values& x : all_x(time, run)) EXPECT_LT(distance_squared(x, best), 1e-20);
}

// 1.7.1, 1.7.8
TEST(Lgd, WithoutAPullEveryWorkerIsPlainSgdAndEqualLossesLeadByRank) {
  VirtualRun run = plan("lgd", {2, 2}, {{"lambda", "0"}}, kRough);
  VirtualTime time = ride(run);
  for (Rank r = 0; r < 4; ++r) EXPECT_EQ(values(time.worker(r)), plain_sgd(run, r, run.steps));
  run.engine = [](Rank r) { return std::make_unique<Level<double>>(r == 0 ? NAN : 1); };
  VirtualTime level = ride(run);
  for (const auto& record : level.records())
    if (const auto* leader = std::get_if<LeaderEvent>(&record.event)) {
      EXPECT_EQ(leader->rank, 1u);
    }
}

}  // namespace
}  // namespace paceline
