#include "paceline/compute/machine_limits.h"

#include <gtest/gtest.h>

#include <cmath>

namespace paceline {
namespace {

TEST(MachineLimits, AreFiniteAndOfThisCentury) {
  for (const unsigned threads : {1U, 2U}) {
    const auto limits = measure_machine_limits(threads);
    ASSERT_TRUE(limits) << limits.error().message;
    // Sanitizers leave a tenth of it; a loop that was optimised away would be far above the bounds.
    EXPECT_GT(limits.value().flops_per_second, 1e8);
    EXPECT_LT(limits.value().flops_per_second, 1e12 * threads);
    EXPECT_GT(limits.value().bytes_per_second, 1e8);
    EXPECT_LT(limits.value().bytes_per_second, 1e13);
  }
}

}  // namespace
}  // namespace paceline
