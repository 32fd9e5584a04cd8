#include "simulated_run.h"

namespace paceline {
namespace {

Values total(VirtualTime& time, const VirtualRun& run) {
  Values sum = values(time.global());
  for (const Values& x : all_x(time, run))
    for (std::size_t i = 0; i < x.size(); ++i) sum[i] += x[i];
  return sum;
}

TEST(Easgd, WithoutGradientsTheSumOfWorkersAndCentreIsConservedAtAnyTiming) {
  for (const std::uint32_t lost : {0u, 50'000u})
    for (const Place place : {Place{4, 1}, Place{2, 3}, Place{1, 5}}) {
      VirtualRun run = plan("easgd", place, {}, kRough);
      run.conditions.patience = 20ms;
      run.engine = [](Rank) { return std::make_unique<Level<double>>(1); };
      run.steps = 400;
      run.conditions.lost_per_million = lost;
      auto untouched = VirtualTime::create(run);
      ASSERT_TRUE(untouched);
      const Values before = total(untouched.value(), run);
      VirtualTime time = ride(run);
      EXPECT_LT(distance_squared(before, total(time, run)), 1e-24) << lost;
      // Where one message of twenty is lost, 0.95^2 of 100 exchanges succeed.
      EXPECT_GT(time.count("elastic"), (lost ? 80u : 99u) * place.workers());
      const Values apart = initial(run, {0});
      EXPECT_LT(distance_squared(values(time.worker(0)), values(time.global())),
                1e-6 * distance_squared(apart, before));
    }
}

TEST(Easgd, WithAlphaZeroEveryWorkerIsPlainSgdBitForBitAndTheCentreStays) {
  for (const Momentum form : {Momentum::none, Momentum::nesterov, Momentum::sutskever}) {
    VirtualRun run = plan("easgd", {2, 3}, {{"beta", "0"}}, kRough);
    run.sgd = {.learning_rate = 0.005, .momentum = 0.9, .weight_decay = 1e-3, .form = form};
    VirtualTime time = ride(run);
    for (Rank r = 0; r < 6; ++r)
      EXPECT_EQ(values(time.worker(r)), plain_sgd(run, r, run.steps)) << "worker " << r;
    EXPECT_EQ(values(time.global()), initial(run, run.place.global()));
    EXPECT_EQ(time.count("elastic"), 6 * run.steps / 4);
  }
}

TEST(Easgd, SutskeverWithoutMomentumIsPlainEasgdBitForBit) {
  VirtualRun run = plan("easgd", {2, 2}, {}, kRough);
  VirtualTime plain = ride(run);
  run.sgd.form = Momentum::sutskever;
  VirtualTime averaged = ride(run);
  EXPECT_EQ(all_x(plain, run), all_x(averaged, run));
}

// Not a consensus optimiser: between two wells the centre rests where f' is not 0.
TEST(Easgd, TheCurseOfSymmetryHoldsTheCentreBetweenTwoWells) {
  VirtualRun run = plan("easgd", {1, 4}, {{"tau", "1"}, {"beta", "0.16"}});  // alpha = 0.02 x 2
  run.sgd.learning_rate = 0.02;
  run.steps = 5000;
  run.dimension = 1;
  run.engine = [](Rank) { return std::make_unique<DoubleWell<double>>(0.05); };
  run.initial = [](Address who, Vector x) {
    const double start[] = {-1.2, -0.9, 0.8, 1.3};
    elements<double>(x)[0] = who.index < 4 ? start[who.index] : 0.15;
  };
  VirtualTime time = ride(run);
  const double expected[] = {-0.731, -0.731, 0.680, 0.680};
  for (Rank r = 0; r < 4; ++r) EXPECT_NEAR(values(time.worker(r))[0], expected[r], 1e-3);
  EXPECT_NEAR(values(time.global())[0], -0.0253, 1e-4);
}

TEST(Easgd, TheCrashOfAWorkerOrOfTheCentreDoesNotStopTheOthers) {
  VirtualRun run = plan("easgd", {2, 2}, {}, kRough);
  run.conditions.patience = 100ms;
  for (const Address who : {Address{1}, run.place.global()}) {
    run.conditions.crashes = {{50ms, who}};
    VirtualTime time = ride(run);
    for (const Rank r : {0, 2, 3}) EXPECT_EQ(time.worker(r).steps(), 100u);
  }
}

TEST(Easgd, WorkersAndCentreLeaveTheirLastParametersInTheirSlots) {
  VirtualRun run = plan("easgd", {2, 2}, {}, kRough);
  VirtualTime time = ride(run);
  for (const Address who : {Address{0}, Address{3}, run.place.global()}) {
    Pin pin = time.role(who).slot(kParameters).pin();
    ASSERT_TRUE(pin);
    const auto x = elements<double>(ConstVector(pin.bytes().data(), run.dimension));
    EXPECT_EQ(Values(x.begin(), x.end()), values(time.role(who)));
  }
}

}  // namespace
}  // namespace paceline
