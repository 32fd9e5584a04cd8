#include "paceline/actors/step_budget.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace paceline {
namespace {

TEST(StepBudget, GivesExactlyWhatWasPlannedWhoeverTakesIt) {
  StepBudget budget(10'000);
  std::atomic<std::uint64_t> taken{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      while (budget.claim()) taken.fetch_add(1);
    });
  threads.clear();
  EXPECT_EQ(taken.load(), 10'000u);
  EXPECT_FALSE(budget.claim());
}

TEST(StepBudget, GivesNothingAfterAStop) {
  StepBudget endless(0);
  EXPECT_TRUE(endless.claim());
  endless.stop();
  EXPECT_FALSE(endless.claim());
}

}  // namespace
}  // namespace paceline
