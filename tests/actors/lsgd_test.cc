// The laws of LSGD, each with the name of what it says.

#include "simulated_run.h"
#include "test_seed.h"

namespace paceline {
namespace {

const Settings kBarrier = {{"mode", "barrier"}, {"lockstep", "true"}, {"score_window", "1"}};

Settings with(Settings settings, const Settings& more) {
  for (const auto& [key, value] : more) settings[key] = value;
  return settings;
}

TEST(Lsgd, WithoutPullsEveryWorkerIsPlainSgdBitForBit) {
  for (const char* mode : {"barrier", "nonblocking"})
    for (const Momentum form :
         {Momentum::none, Momentum::heavy_ball, Momentum::nesterov, Momentum::sutskever}) {
      VirtualRun run =
          plan("lsgd", {2, 3}, {{"mode", mode}, {"pull", "0"}, {"pull_global", "0"}}, kRough);
      run.sgd = {.learning_rate = 0.005, .momentum = 0.9, .weight_decay = 1e-3, .form = form};
      VirtualTime time = ride(run);
      for (Rank r = 0; r < 6; ++r)
        EXPECT_EQ(values(time.worker(r)), plain_sgd(run, r, run.steps)) << mode << " worker " << r;
      EXPECT_GT(time.count("global_sync"), 0u);
      EXPECT_EQ(time.count("pull"), 0u);
    }
}

TEST(Lsgd, OneWorkerIsPlainSgdBitForBitWhateverThePull) {
  for (const char* mode : {"barrier", "nonblocking"}) {
    VirtualRun run =
        plan("lsgd", {1, 1}, {{"mode", mode}, {"pull", "0.7"}, {"pull_global", "1"}}, kRough);
    run.conditions.local_delay = 2ms;  // announcements come in the middle of a gradient
    VirtualTime time = ride(run);
    EXPECT_EQ(values(time.worker(0)), plain_sgd(run, 0, run.steps)) << mode;
    EXPECT_GT(time.count("global_sync"), 0u);
  }
}

TEST(Lsgd, WithoutGradientsTheLeaderStaysAndFollowersComeNearerByOneMinusLambda) {
  for (const double lambda : {0.25, 1.0})
    for (const char* mode : {"barrier", "nonblocking"}) {
      VirtualRun run = plan("lsgd", {1, 4},
                            {{"mode", mode},
                             {"tau", "1"},
                             {"tau_global", "1"},
                             {"score_window", "1"},
                             {"pull_global", std::to_string(lambda)}});
      run.engine = [](Rank r) { return std::make_unique<Level<double>>(r == 2 ? 0.5 : 1.0); };
      run.steps = 3;
      VirtualTime time = ride(run);
      const Values z = initial(run, {2});
      EXPECT_EQ(values(time.worker(2)), z);
      for (const Rank r : {0, 1, 3}) {
        const double before = distance_squared(initial(run, {r}), z);
        const double after = distance_squared(values(time.worker(r)), z);
        EXPECT_NEAR(std::sqrt(after / before), std::pow(1 - lambda, 3), 1e-12) << mode;
        if (lambda == 1) {
          EXPECT_LT(after, 1e-30);
        }
      }
    }
}

TEST(Lsgd, RoundsAreTheTotalOfStepsDividedByThePeriodAtAnySpeeds) {
  Rng rng(test_seed());
  for (int trial = 0; trial < 40; ++trial) {
    const Place place{1 + static_cast<std::uint32_t>(rng.below(3)),
                      1 + static_cast<std::uint32_t>(rng.below(4))};
    const std::uint64_t tau = 1 + rng.below(4), ratio = 1 + rng.below(4);
    VirtualRun run = plan("lsgd", place,
                          {{"mode", trial % 2 ? "barrier" : "nonblocking"},
                           {"tau", std::to_string(tau)},
                           {"tau_global", std::to_string(tau * ratio)}},
                          kRough);
    run.engine = [](Rank r) { return std::make_unique<Level<double>>(r); };
    run.conditions.spread_percent = static_cast<std::uint32_t>(rng.below(400));
    run.steps = 20 + rng.below(50);
    run.share_steps = rng.below(2);
    run.seed = rng.next();
    VirtualTime time = ride(run);
    const std::uint64_t total = time.steps(), workers = place.workers();
    EXPECT_EQ(total, workers * run.steps);
    EXPECT_EQ(time.count("global_sync"), total / (workers * tau * ratio)) << "trial " << trial;
    const bool local = place.groups > 1 && ratio > 1;
    EXPECT_EQ(time.count("local_sync"), local ? total / (workers * tau) : 0) << "trial " << trial;
    EXPECT_EQ(time.count("timeout"), 0u);
  }
}

TEST(Lsgd, WithoutDelaysNonblockingIsBarrierBitForBit) {
  for (const Momentum form : {Momentum::none, Momentum::nesterov}) {
    VirtualRun run = plan("lsgd", {2, 3}, with(kBarrier, {{"tau", "4"}, {"tau_global", "8"}}));
    run.sgd = {.learning_rate = 0.005, .momentum = 0.9, .weight_decay = 0, .form = form};
    VirtualTime barrier = ride(run);
    run.settings["lockstep"] = std::string("false");
    run.settings["mode"] = std::string("nonblocking");
    VirtualTime nonblocking = ride(run);
    EXPECT_EQ(all_x(barrier, run), all_x(nonblocking, run));
    EXPECT_GT(barrier.count("pull"), 100u);
    EXPECT_EQ(barrier.count("pull"), nonblocking.count("pull"));
  }
}

TEST(Lsgd, LockstepIsTheSameRunAtAnyTiming) {
  VirtualRun run =
      plan("lsgd", {2, 3}, with(kBarrier, {{"tau", "4"}, {"tau_global", "8"}}), kRough);
  VirtualTime rough = ride(run);
  run.conditions = {};
  VirtualTime smooth = ride(run);
  EXPECT_EQ(all_x(rough, run), all_x(smooth, run));
}

TEST(Lsgd, AnAnnouncementDuringAGradientIsFusedIntoThatStepsUpdate) {
  // One pull in all: announced at 1 ms + 2 delays, in the middle of the second gradient.
  VirtualRun run =
      plan("lsgd", {1, 2},
           {{"tau", "1"}, {"tau_global", "2"}, {"score_window", "1"}, {"pull_global", "0.25"}});
  run.engine = [](Rank r) {
    return std::make_unique<LeastSquares<double>>(8, kDimension, 8, Rng(r));
  };
  run.steps = 3;
  run.conditions.local_delay = 100us;
  VirtualTime time = ride(run);
  ASSERT_EQ(time.count("pull"), 1u);
  Rank leader = kNobody;
  for (const auto& r : time.records())
    if (const auto* pull = std::get_if<PullEvent>(&r.event)) leader = pull->rank;
  const Rank follower = 1 - leader;
  Values x = plain_sgd(run, follower, 2), g(run.dimension);
  const Values z = plain_sgd(run, leader, 2);
  Rng rng(0);
  run.engine(follower)->gradient({x.data(), x.size()}, {g.data(), g.size()}, rng);
  const Pull pull{{z.data(), z.size()}, 0.25};
  run.math->update(run.sgd, {x.data(), x.size()}, {}, {g.data(), g.size()}, {&pull, 1});
  EXPECT_EQ(values(time.worker(follower)), x);
}

TEST(Lsgd, WhatIsPublishedAfterAFusedPullHasThePull) {
  // Told at 2 ms, announced six delays later at 5.6 ms, in the middle of step 6, after which
  // workers publish: what they publish is what step 7 begins with.
  struct Watching final : GradientEngine {
    Watching(Rank r, VirtualTime*& t, bool& s)
        : rank(r), inner(8, kDimension, 8, Rng(r)), time(t), same(s) {}
    double gradient(ConstVector at, Vector g, Rng& rng) override {
      if (++calls == 7) {
        const Pin published = time->worker(rank).slot(kParameters).pin();
        EXPECT_EQ(published.version(), 3u);
        same =
            std::ranges::equal(elements<double>(at),
                               elements<double>(ConstVector(published.bytes().data(), at.count)));
      }
      return inner.gradient(at, g, rng);
    }
    Rank rank;
    LeastSquares<double> inner;
    VirtualTime*& time;
    bool& same;
    int calls = 0;
  };
  VirtualRun run = plan("lsgd", {1, 2}, {{"tau", "1"}, {"tau_global", "2"}, {"score_window", "1"}});
  run.steps = 7;
  run.conditions.local_delay = 600us;
  VirtualTime* running = nullptr;
  bool same[2] = {};
  run.engine = [&](Rank r) { return std::make_unique<Watching>(r, running, same[r]); };
  auto made = VirtualTime::create(run);
  ASSERT_TRUE(made);
  running = &made.value();
  running->run();
  EXPECT_EQ(running->count("pull"), 1u);
  EXPECT_TRUE(same[0] && same[1]);
}

TEST(Lsgd, OneGroupIsTheSameAsManyWithoutLocalLeaders) {
  VirtualRun one = plan("lsgd", {1, 6}, with(kBarrier, {{"tau", "2"}, {"tau_global", "8"}}));
  VirtualRun many = plan("lsgd", {3, 2}, with(kBarrier, {{"tau", "8"}, {"tau_global", "8"}}));
  VirtualTime a = ride(one), b = ride(many);
  EXPECT_EQ(all_x(a, one), all_x(b, many));
  EXPECT_GT(a.count("pull"), 0u);
  EXPECT_EQ(a.count("local_sync") + b.count("local_sync"), 0u);
}

// LGD's convention: x - eta (grad f + lambda (x - z)), a pull of eta lambda at every step.
VirtualRun lgd(double eta, double lambda, std::uint64_t steps) {
  VirtualRun run = plan(
      "lsgd", {1, 4},
      with(kBarrier,
           {{"tau", "1"}, {"tau_global", "1"}, {"pull_global", std::to_string(eta * lambda)}}));
  run.sgd.learning_rate = eta;
  run.steps = steps;
  return run;
}

TEST(Lsgd, ADoubleWellIsLeftForTheDeeperOneWhenThePullIsStrong) {
  for (const double lambda : {2.0, 0.05}) {
    VirtualRun run = lgd(0.02, lambda, 5000);
    run.dimension = 1;
    run.engine = [](Rank) { return std::make_unique<DoubleWell<double>>(0.05); };
    run.initial = [](Address who, Vector x) {
      const double start[] = {-1.2, -0.9, 0.8, 1.3, 0};
      elements<double>(x)[0] = start[std::min(who.index, 4u)];
    };
    VirtualTime time = ride(run);
    const auto xs = all_x(time, run);
    for (const Rank r : {0, 1}) EXPECT_NEAR(xs[r][0], -1.00619, 1e-5);
    for (const Rank r : {2, 3}) EXPECT_NEAR(xs[r][0], lambda == 2 ? -1.00619 : 0.9808, 1e-4);
  }
}

TEST(Lsgd, OnAConvexQuadraticAllReachTheOptimum) {
  struct Bowl final : GradientEngine {  // sum c_i (x_i - 1)^2 / 2, c from 2 to 8
    double gradient(ConstVector at, Vector gradient, Rng&) override {
      double loss = 0;
      for (std::size_t i = 0; i < at.count; ++i) {
        const double c = 2 + 6.0 * static_cast<double>(i) / static_cast<double>(at.count);
        const double e = elements<double>(at)[i] - 1;
        elements<double>(gradient)[i] = c * e;
        loss += c * e * e / 2;
      }
      return loss;
    }
  };
  for (const double lambda : {0.0, 0.5, 10.0}) {
    VirtualRun run = lgd(0.1, lambda, 200);
    run.engine = [](Rank) { return std::make_unique<Bowl>(); };
    VirtualTime time = ride(run);
    for (const Values& x : all_x(time, run))
      for (const double v : x) EXPECT_NEAR(v, 1, 1e-13);
  }
}

TEST(Lsgd, ARoundReadsTheLeaderOnceAFollowerAndUploadsNoParameters) {
  constexpr std::size_t kBytes = 4 * kDimension;
  VirtualRun run =
      plan("lsgd", {2, 3}, with(kBarrier, {{"tau", "4"}, {"tau_global", "4"}}), kRough);
  run.math = &vector_math_f32();
  run.initial = {};
  run.engine = [](Rank r) { return std::make_unique<Level<float>>(r == 4 ? 0.5 : 1.0); };
  VirtualTime time = ride(run);
  const std::uint64_t rounds = time.count("global_sync");
  ASSERT_EQ(rounds, 25u);
  EXPECT_EQ(time.count("pull"), rounds * 5);
  EXPECT_EQ(time.count("leader_bytes"), rounds * 5 * kBytes);
  EXPECT_EQ(time.traffic().reads, rounds) << "once for the whole other group";
  EXPECT_EQ(time.traffic().read_bytes, rounds * kBytes);
  // What was said: a few words a step and a round, however large the network is.
  const std::uint64_t said = time.traffic().message_bytes;
  run.dimension = 10 * kDimension;
  EXPECT_EQ(ride(run).traffic().message_bytes, said);
  EXPECT_LT(said, run.steps * 6 * 2 * 16 + (rounds + 1) * (6 * 3 + 6) * 48);
}

TEST(Lsgd, ALeaderThatIsTooOldIsSkippedAndCounted) {
  // Reads take five steps, rounds come with every step: what a group holds is older than what it
  // has heard of.
  for (const char* bound : {"0", "3", "1000"}) {
    VirtualRun run =
        plan("lsgd", {2, 4}, {{"tau", "1"}, {"tau_global", "1"}, {"score_window", "1"}});
    run.settings.emplace("staleness", bound);
    run.engine = [](Rank r) { return std::make_unique<Level<double>>(r); };
    run.conditions.remote_delay = 300us;
    run.conditions.spread_percent = 1900;
    VirtualTime time = ride(run);
    std::uint64_t most = 0, skipped = 0;
    for (const auto& r : time.records())
      if (const auto* pull = std::get_if<PullEvent>(&r.event)) {
        EXPECT_EQ(pull->skipped, pull->staleness > std::stoull(bound));
        most = std::max(most, pull->staleness);
        skipped += pull->skipped;
      }
    EXPECT_EQ(time.count("stale"), skipped);
    EXPECT_GT(time.count("pull"), 0u);
    EXPECT_GT(most, 0u);
    if (bound[0] == '0') {
      EXPECT_GT(skipped, 0u);
    }
  }
}

TEST(Lsgd, ANonFiniteLossNeverLeads) {
  for (const double strange : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    VirtualRun run = plan("lsgd", {2, 2}, with(kBarrier, {{"tau", "1"}, {"tau_global", "2"}}));
    run.engine = [=](Rank r) { return std::make_unique<Level<double>>(r == 0 ? strange : r); };
    run.steps = 10;
    VirtualTime time = ride(run);
    bool any = false;
    for (const auto& r : time.records())
      if (const auto* lead = std::get_if<LeaderEvent>(&r.event)) {
        EXPECT_NE(lead->rank, 0u);
        any = any || lead->rank == 1;
      }
    EXPECT_TRUE(any);
  }
}

TEST(Lsgd, WhenNobodyIsEligibleNobodyIsPulled) {
  for (const char* mode : {"barrier", "nonblocking"}) {
    VirtualRun run = plan("lsgd", {2, 2}, {{"mode", mode}, {"score_window", "1000"}}, kRough);
    VirtualTime time = ride(run);
    for (Rank r = 0; r < 4; ++r) EXPECT_EQ(values(time.worker(r)), plain_sgd(run, r, run.steps));
    EXPECT_GT(time.count("global_sync"), 0u);
    EXPECT_EQ(time.count("timeout"), 0u);
  }
}

TEST(Lsgd, TheFinalLeaderIsTheBestOfTheLastOffers) {
  VirtualRun run = plan("lsgd", {2, 2}, {{"score_window", "3"}}, kRough);
  run.engine = [](Rank r) { return std::make_unique<Level<double>>(r == 3 ? 0.25 : 0.5); };
  VirtualTime time = ride(run);
  const auto* last = std::get_if<LeaderEvent>(&time.records().back().event);
  ASSERT_TRUE(last);
  EXPECT_TRUE(last->final);
  EXPECT_EQ(last->rank, 3u);
  EXPECT_EQ(last->version, time.worker(3).slot(kParameters).version());
}

TEST(Lsgd, ParametersThatAreNotFiniteNeverLeadThoughTheirLossIs) {
  VirtualRun run = plan("lsgd", {2, 2}, {{"tau", "1"}, {"tau_global", "2"}, {"score_window", "1"}});
  run.engine = [](Rank r) { return std::make_unique<Level<double>>(r == 0 ? 0.5 : 1.0); };
  const auto usual = run.initial;
  run.initial = [usual](Address who, Vector x) {
    usual(who, x);
    if (who.index == 0) elements<double>(x)[3] = NAN;
  };
  VirtualTime time = ride(run);
  int elections = 0;
  for (const auto& record : time.records())
    if (const auto* e = std::get_if<LeaderEvent>(&record.event)) {
      EXPECT_NE(e->rank, 0u);
      ++elections;
    }
  EXPECT_GT(elections, 100);
  for (Rank r = 1; r < 4; ++r)
    EXPECT_TRUE(run.math->finite(time.worker(r).vector("x"))) << "worker " << r;
}

}  // namespace
}  // namespace paceline
