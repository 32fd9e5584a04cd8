// DIANA on eight heterogeneous least squares with exact local gradients, in f64.
#include "simulated_run.h"

namespace paceline {
namespace {

VirtualRun heterogeneous(Place place, Settings settings) {
  VirtualRun run = plan("diana", place, std::move(settings), kRough);
  run.engine = [](Rank r) {
    return std::make_unique<LeastSquares<double>>(40, kDimension, 40, Rng(11, r));
  };
  run.initial = {};
  run.sgd.learning_rate = 0.15;
  run.steps = 6000;
  return run;
}

TEST(Diana, ReachesTheOptimumUnderCompressionWhereWithoutMemoriesItStalls) {
  for (const char* norm : {"two", "infinity"})
    for (const bool memories : {true, false}) {
      Settings settings = {{"norm", norm}};
      if (!memories) settings["alpha"] = std::string("0");
      VirtualRun run = heterogeneous({8, 1}, settings);
      const Values best = optimum(run, 0.3, 4000);
      VirtualTime time = ride(run);
      const double distance = distance_squared(values(time.global()), best);
      std::printf("norm %s, %s: ||x - x*||^2 = %.3g\n", norm, memories ? "alpha_p / 2" : "alpha 0",
                  distance);
      if (memories)
        EXPECT_LT(distance, 1e-20);
      else
        EXPECT_GT(distance, 1e-3);
    }
}

TEST(Diana, TheCentresMemoryIsTheMeanOfTheWorkers) {
  for (const std::uint32_t lost : {0u, 20'000u}) {
    VirtualRun run = heterogeneous({2, 4}, {{"norm", "infinity"}});
    run.conditions.patience = 20ms;
    run.steps = 300;
    run.conditions.lost_per_million = lost;
    VirtualTime time = ride(run);
    EXPECT_EQ(time.count("round"), 300u);
    Values mean(kDimension);
    double largest = 0;
    for (Rank r = 0; r < 8; ++r) {
      const Values h = values(time.worker(r), "h");
      for (std::size_t i = 0; i < kDimension; ++i) {
        mean[i] += h[i] / 8;
        largest = std::max(largest, std::abs(h[i]));
      }
    }
    EXPECT_GT(largest, 0.1);
    EXPECT_LT(distance_squared(mean, values(time.global(), "h")), 1e-24) << lost;
  }
}

TEST(Diana, AllWorkersHaveTheCentresParameters) {
  VirtualRun run = heterogeneous({2, 4}, {});
  run.steps = 50;
  VirtualTime time = ride(run);
  for (const Values& x : all_x(time, run)) EXPECT_EQ(x, values(time.global()));
}

TEST(Diana, TheResultDoesNotDependOnTiming) {
  VirtualRun run = heterogeneous({2, 4}, {});
  run.steps = 50;
  VirtualTime rough = ride(run);
  run.conditions = {};
  VirtualTime smooth = ride(run);
  EXPECT_EQ(values(rough.global()), values(smooth.global()));
}

TEST(Diana, AfterACrashTheOthersReachTheirOwnOptimum) {
  VirtualRun run = heterogeneous({4, 1}, {});
  run.conditions.crashes = {{50ms, {3}}};
  run.conditions.patience = 1s;
  VirtualTime time = ride(run);
  run.place = {3, 1};
  EXPECT_LT(distance_squared(values(time.global()), optimum(run, 0.3, 4000)), 1e-20);
}

TEST(Diana, WorkersEndWhenTheCentreIsGone) {
  VirtualRun run = heterogeneous({2, 2}, {});
  run.conditions.patience = 100ms;
  run.conditions.crashes = {{50ms, run.place.global()}};
  VirtualTime time = ride(run);
  EXPECT_LT(time.steps(), 4 * run.steps);
}

}  // namespace
}  // namespace paceline
