#include "paceline/actors/step_times.h"

#include <gtest/gtest.h>

namespace paceline {
namespace {

TEST(StepTimes, AreSummarisedByMedianAndSpreadOfTheLastOnes) {
  StepTimes times;
  for (const double seconds : {5.0, 1.0, 4.0, 2.0, 3.0}) times.add(seconds);
  EXPECT_EQ(times.summary().median, 3);
  EXPECT_EQ(times.summary().spread, 1);  // of 2, 2, 1, 1, 0
  for (std::size_t i = 0; i < StepTimes::kWindow; ++i) times.add(0.5);
  EXPECT_EQ(times.summary().median, 0.5) << "older ones are forgotten";
  EXPECT_EQ(times.summary().spread, 0);
}

TEST(StepTimes, OneThatWasStoppedForAWhileChangesLittle) {
  StepTimes times;
  for (int i = 0; i < 63; ++i) times.add(i % 2 ? 0.9 : 1.1);
  times.add(60);
  EXPECT_NEAR(times.summary().median, 1, 0.11);
  EXPECT_LT(times.summary().spread, 0.21);
}

TEST(StepTimes, PatienceGrowsWithTheStepsOfARoundAndTheirSpread) {
  EXPECT_DOUBLE_EQ(adapted_patience({0.5, 0}, 4), 20 * 4 * 0.5);
  EXPECT_DOUBLE_EQ(adapted_patience({0.5, 0.1}, 4), 20 * 4 * (0.5 + 0.6));
  EXPECT_DOUBLE_EQ(adapted_patience({0.5, 0}, 0), adapted_patience({0.5, 0}, 1));
}

TEST(StepTimes, PatienceHasAFloorAndACeilingThatLongStepsRaise) {
  EXPECT_EQ(adapted_patience({0.001, 0}, 4), 2);
  EXPECT_EQ(adapted_patience({5, 1}, 16), 300);
  EXPECT_EQ(adapted_patience({60, 0}, 16), 3 * 16 * 60) << "longer than the ceiling by themselves";
}

}  // namespace
}  // namespace paceline
