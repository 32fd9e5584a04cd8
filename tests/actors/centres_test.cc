// The laws of EASGD's synchronous form, of the DOWNPOUR family and of round-robin: ALGORITHMS 2.5.
#include "simulated_run.h"

namespace paceline {
namespace {

Values total(VirtualTime& time, const VirtualRun& run) {
  Values sum = values(time.global());
  for (const Values& x : all_x(time, run))
    for (std::size_t i = 0; i < x.size(); ++i) sum[i] += x[i];
  return sum;
}

// 2.5.1: elastic symmetry.
TEST(EasgdSync, WithoutGradientsTheSumOfWorkersAndCentreIsConserved) {
  for (const Place place : {Place{4, 1}, Place{2, 3}, Place{1, 5}})
    for (const std::uint32_t lost : {0u, 20'000u}) {
      VirtualRun run = plan("easgd-sync", place, {}, kRough);
      run.engine = [](Rank) { return std::make_unique<Level<double>>(1); };
      run.conditions.patience = 20ms;
      run.conditions.lost_per_million = lost;
      auto untouched = VirtualTime::create(run);
      ASSERT_TRUE(untouched);
      const Values before = total(untouched.value(), run);
      VirtualTime time = ride(run);
      EXPECT_LT(distance_squared(before, total(time, run)), 1e-24);
      EXPECT_EQ(time.count("round"), run.steps / 4);
    }
}

// 2.1, equations (5) and (6), written out.
TEST(EasgdSync, IsTheRecursionOfThePaper) {
  VirtualRun run = plan("easgd-sync", {1, 3}, {{"tau", "1"}, {"beta", "0.6"}});
  run.engine = [](Rank r) {
    return std::make_unique<LeastSquares<double>>(40, kDimension, 40, Rng(7, r));
  };
  run.steps = 50;
  std::vector<Values> x;
  for (Rank r = 0; r < 3; ++r) x.push_back(initial(run, {r}));
  Values c = initial(run, run.place.global()), g(kDimension);
  Rng rng(0);
  for (std::uint64_t t = 0; t < run.steps; ++t) {
    const Values old = c;
    for (std::size_t i = 0; i < kDimension; ++i)
      c[i] = 0.4 * old[i] + 0.6 * (x[0][i] + x[1][i] + x[2][i]) / 3;
    for (Rank r = 0; r < 3; ++r) {
      run.engine(r)->gradient({x[r].data(), kDimension}, {g.data(), kDimension}, rng);
      for (std::size_t i = 0; i < kDimension; ++i)
        x[r][i] += -0.02 * g[i] - 0.2 * (x[r][i] - old[i]);
    }
  }
  VirtualTime time = ride(run);
  EXPECT_LT(distance_squared(values(time.global()), c), 1e-24);
  for (Rank r = 0; r < 3; ++r) EXPECT_LT(distance_squared(values(time.worker(r)), x[r]), 1e-24);
}

// 2.5.2
TEST(EasgdSync, WithAlphaZeroEveryWorkerIsPlainSgdBitForBit) {
  VirtualRun run = plan("easgd-sync", {2, 3}, {{"beta", "0"}}, kRough);
  run.sgd = {
      .learning_rate = 0.005, .momentum = 0.9, .weight_decay = 1e-3, .form = Momentum::sutskever};
  VirtualTime time = ride(run);
  for (Rank r = 0; r < 6; ++r) EXPECT_EQ(values(time.worker(r)), plain_sgd(run, r, run.steps));
  EXPECT_EQ(values(time.global()), initial(run, run.place.global()));
}

// 2.5.2: EAMSGD is EASGD with momentum.
TEST(Eamsgd, IsEasgdInSutskeversFormBitForBit) {
  VirtualRun run = plan("eamsgd", {2, 2}, {}, kRough);
  run.sgd.momentum = 0.9;
  run.sgd.learning_rate = 0.002;
  VirtualTime named = ride(run);
  run.protocol = find_protocol("easgd");
  VirtualTime form = ride(run);
  EXPECT_EQ(all_x(named, run), all_x(form, run));
}

// 2.5.3
TEST(Downpour, WithOneWorkerAndTauOneItIsPlainSgdBitForBit) {
  for (const char* name : {"downpour", "adownpour", "mvadownpour"}) {
    VirtualRun run = plan(name, {1, 1}, {{"tau", "1"}}, kRough);
    begin_together(run);
    VirtualTime time = ride(run);
    EXPECT_EQ(values(time.worker(0)), plain_sgd(run, 0, run.steps)) << name;
    EXPECT_EQ(values(time.global()), values(time.worker(0))) << name;
  }
}

// 2.1: the averages are those of the sequential methods.
TEST(Downpour, WithOneWorkerItsAveragesAreThoseOfAsgdAndMvasgdBitForBit) {
  for (const auto& [centre, alone] : {std::pair{"adownpour", "asgd"}, {"mvadownpour", "mvasgd"}}) {
    Settings settings = {{"tau", "1"}};
    if (std::string_view(alone) == "mvasgd") settings["average_rate"] = "0.05";
    VirtualRun run = plan(centre, {1, 1}, settings);
    begin_together(run);
    VirtualTime central = ride(run);
    const Values z = published(central, run, run.place.global());
    run.protocol = find_protocol(alone);
    VirtualTime sequential = ride(run);
    EXPECT_EQ(z, published(sequential, run, {0})) << centre;
    EXPECT_EQ(z, values(sequential.worker(0), "average")) << centre;
    EXPECT_NE(z, values(sequential.worker(0))) << centre;
  }
}

// 2.1: every step of every worker is in the centre once, at any timing and loss.
TEST(Downpour, TheCentreHasMovedByTheSumOfAllStepsWhateverTheTiming) {
  for (const std::uint32_t lost : {0u, 30'000u}) {
    VirtualRun run = plan("downpour", {2, 3}, {}, kRough);
    begin_together(run);
    run.conditions.patience = 20ms;
    run.conditions.lost_per_million = lost;
    run.dimension = 1;
    run.engine = [](Rank r) {
      class Slope final : public GradientEngine {
       public:
        explicit Slope(double slope) : slope_(slope) {}
        double gradient(ConstVector, Vector g, Rng&) override {
          elements<double>(g)[0] = slope_;
          return 0;
        }

       private:
        const double slope_;
      };
      return std::make_unique<Slope>(1.0 + r);
    };
    VirtualTime time = ride(run);
    EXPECT_EQ(time.count("update"), 6 * run.steps / 4);
    EXPECT_NEAR(values(time.global())[0], std::sin(1.0) - 0.02 * 100 * 21, 1e-9);
  }
}

TEST(Downpour, WithMomentumAndDecayOneWorkerStaysWithItsCentre) {
  VirtualRun run = plan("downpour", {1, 1}, {{"tau", "5"}}, kRough);
  run.sgd = {
      .learning_rate = 0.005, .momentum = 0.9, .weight_decay = 1e-3, .form = Momentum::nesterov};
  begin_together(run);
  VirtualTime time = ride(run);
  EXPECT_LT(distance_squared(values(time.global()), plain_sgd(run, 0, run.steps)), 1e-24);
}

// 2.5.3
TEST(Mdownpour, WithOneWorkerItIsSutskeversSgdBitForBit) {
  VirtualRun run = plan("mdownpour", {1, 1}, {}, kRough);
  run.sgd = {
      .learning_rate = 0.005, .momentum = 0.9, .weight_decay = 1e-3, .form = Momentum::sutskever};
  begin_together(run);
  VirtualTime time = ride(run);
  EXPECT_EQ(values(time.global()), plain_sgd(run, 0, run.steps));
  EXPECT_EQ(published(time, run, run.place.global()), plain_sgd(run, 0, run.steps));
}

// 2.5.3: MSGD, which is the run's optimiser.
TEST(Solo, IsPlainSgdBitForBit) {
  for (const char* name : {"sgd", "msgd"}) {
    VirtualRun run = plan(name, {1, 1}, {}, kRough);
    run.sgd.momentum = 0.9;
    run.sgd.learning_rate = 0.003;
    VirtualTime time = ride(run);
    EXPECT_EQ(published(time, run, {0}), plain_sgd(run, 0, run.steps)) << name;
    run.place = {1, 2};
    EXPECT_FALSE(VirtualTime::create(run));
  }
}

class HalfSquare final : public GradientEngine {  // x^2 / 2
 public:
  double gradient(ConstVector at, Vector g, Rng&) override {
    elements<double>(g)[0] = elements<double>(at)[0];
    return 0.5 * elements<double>(at)[0] * elements<double>(at)[0];
  }
};

/// |x|_1 over workers and centre after so many cycles of all workers, all from 1.
double after_cycles(std::string_view protocol, std::uint32_t workers, double eta, Settings settings,
                    std::uint64_t cycles) {
  VirtualRun run = plan(protocol, {1, workers}, std::move(settings));
  run.dimension = 1;
  run.sgd.learning_rate = eta;
  run.engine = [](Rank) { return std::make_unique<HalfSquare>(); };
  run.initial = [](Address, Vector x) { elements<double>(x)[0] = 1; };
  run.steps = cycles;
  VirtualTime time = ride(run);
  double sum = std::abs(values(time.global())[0]);
  for (const Values& x : all_x(time, run)) sum += std::abs(x[0]);
  return sum;
}

// 2.5.4: stable exactly up to alpha* = (4 - 2 eta) / (4 - eta), whatever p.
TEST(EasgdRoundRobin, ItsStabilityEndsAtTheBorderOfThePaperForEveryP) {
  for (const auto& [workers, eta] : {std::pair{3u, 0.1}, {3u, 1.0}, {8u, 0.5}}) {
    const double border = (4 - 2 * eta) / (4 - eta);
    const auto rate = [&](double times) {  // the spectral radius of a cycle, by two lengths
      const Settings settings = {{"alpha", fmt::format("{}", times * border)}};
      return std::pow(after_cycles("easgd-round-robin", workers, eta, settings, 400) /
                          after_cycles("easgd-round-robin", workers, eta, settings, 200),
                      1.0 / 200);
    };
    const double inside = rate(0.99), outside = rate(1.1);
    std::printf("p %u, eta %g: %.6f at 0.99 alpha*, %.5f at 1.1 alpha*\n", workers, eta, inside,
                outside);
    EXPECT_LT(inside, 1) << workers;
    EXPECT_GT(outside, 1.05) << workers;
    if (workers == 3 && eta == 0.1) {
      EXPECT_NEAR(outside, 1.29882, 0.01);
    }
    if (workers == 8) {
      EXPECT_NEAR(outside, 1.24761, 0.01);
    }
  }
}

// 2.1: the mean of synchronous EASGD is stable up to 4 - 2 eta - 2 alpha - 2 beta + eta beta = 0.
TEST(EasgdSync, ItsStabilityEndsAtTheBorderOfItsMean) {
  for (const auto& [workers, eta] : {std::pair{2u, 0.5}, {4u, 1.0}, {8u, 0.2}}) {
    const double border = (4 - 2 * eta) / (2.0 / workers + 2 - eta);
    const auto rate = [&](double times) {
      const Settings settings = {{"tau", "1"}, {"beta", fmt::format("{}", times * border)}};
      return std::pow(after_cycles("easgd-sync", workers, eta, settings, 400) /
                          after_cycles("easgd-sync", workers, eta, settings, 200),
                      1.0 / 200);
    };
    EXPECT_LT(rate(0.99), 1) << workers;
    EXPECT_GT(rate(1.05), 1.001) << workers;
  }
}

// 2.5.5: eta = 0.001, rho = 2.5 is stable for p = 2 and grows for p = 3 and 8, by so much a cycle.
TEST(Admm, GrowsWhereTheSpecificationSaysAndNotElsewhere) {
  struct Case {
    std::uint32_t workers;
    double rho, radius;
  };
  for (const Case& c :
       {Case{2, 2.5, 0.999002}, {3, 2.5, 1.00097}, {3, 9, 0.99943}, {8, 2.5, 1.00226}}) {
    const Settings settings = {{"rho", fmt::format("{}", c.rho)}};
    const double early = after_cycles("admm", c.workers, 0.001, settings, 20'000),
                 late = after_cycles("admm", c.workers, 0.001, settings, 40'000);
    const double radius = std::pow(late / early, 1.0 / 20'000);
    std::printf("p %u, rho %g: %.6f a cycle (specification %.6f)\n", c.workers, c.rho, radius,
                c.radius);
    EXPECT_NEAR(radius, c.radius, 1.5e-4) << c.workers << ' ' << c.rho;
    EXPECT_EQ(radius > 1, c.radius > 1);
  }
}

TEST(Centres, TheCrashOfAWorkerOrOfTheCentreDoesNotStopTheOthers) {
  for (const char* name : {"easgd-sync", "downpour", "mvadownpour"}) {
    VirtualRun run = plan(name, {2, 2}, {}, kRough);
    run.conditions.patience = 100ms;
    for (const Address who : {Address{1}, run.place.global()}) {
      run.conditions.crashes = {{50ms, who}};
      VirtualTime time = ride(run);
      for (const Rank r : {0, 2, 3}) EXPECT_EQ(time.worker(r).steps(), 100u) << name;
    }
    run.conditions.crashes = {{50ms, {1}, 5ms}};
    VirtualTime time = ride(run);
    EXPECT_GT(time.worker(1).steps(), 50u) << name;
    EXPECT_TRUE(time.faults().empty()) << name << ": " << time.faults().front();
  }
}

}  // namespace
}  // namespace paceline
