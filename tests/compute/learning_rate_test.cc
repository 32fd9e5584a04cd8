#include "paceline/compute/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace paceline {
namespace {

TEST(LearningRate, ConstantStays) {
  const LearningRate constant(0.3, {});
  for (const double p : {0.0, 0.4, 1.0}) EXPECT_EQ(constant.rate(p), 0.3);
}

TEST(LearningRate, StepsFallAtEachMilestoneAndNowhereElse) {
  const LearningRate steps(0.8, {.annealing = Annealing::steps, .factor = 0.5});
  EXPECT_EQ(steps.rate(0), 0.8);
  EXPECT_EQ(steps.rate(std::nextafter(0.5, 0)), 0.8);
  EXPECT_EQ(steps.rate(0.5), 0.4);
  EXPECT_EQ(steps.rate(std::nextafter(0.75, 0)), 0.4);
  EXPECT_EQ(steps.rate(0.75), 0.2);
  EXPECT_EQ(steps.rate(1), 0.2);
}

TEST(LearningRate, CosineFallsFromFullToNothingWithHalfInTheMiddle) {
  const LearningRate cosine(2, {.annealing = Annealing::cosine});
  EXPECT_EQ(cosine.rate(0), 2);
  EXPECT_NEAR(cosine.rate(0.5), 1, 1e-15);
  EXPECT_NEAR(cosine.rate(1), 0, 1e-15);
  EXPECT_NEAR(cosine.rate(0.25), 1 + std::numbers::sqrt2 / 2, 1e-15);
  for (double p = 0; p < 1; p += 0.01) EXPECT_GT(cosine.rate(p), cosine.rate(p + 0.01));
}

TEST(LearningRate, TheWarmUpGrowsLinearlyAndWhatFollowsBeginsInFull) {
  for (const Annealing annealing : {Annealing::constant, Annealing::steps, Annealing::cosine}) {
    const LearningRate rate(0.4, {.annealing = annealing, .warm_up = 0.25});
    EXPECT_EQ(rate.rate(0), 0);
    EXPECT_NEAR(rate.rate(0.0625), 0.1, 1e-15);
    EXPECT_NEAR(rate.rate(0.125), 0.2, 1e-15);
    EXPECT_EQ(rate.rate(0.25), 0.4);
  }
  const LearningRate cosine(2, {.annealing = Annealing::cosine, .warm_up = 0.2});
  EXPECT_NEAR(cosine.rate(0.6), 1, 1e-15) << "the cosine spans what the warm-up leaves";
}

TEST(LearningRate, ProgressBeyondTheRunIsItsEnd) {
  const LearningRate cosine(2, {.annealing = Annealing::cosine, .warm_up = 0.1});
  EXPECT_EQ(cosine.rate(-1), cosine.rate(0));
  EXPECT_EQ(cosine.rate(7), cosine.rate(1));
}

}  // namespace
}  // namespace paceline
