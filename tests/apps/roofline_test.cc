#include "paceline/apps/roofline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace paceline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Lt;

constexpr MachineLimits kLimits{.flops_per_second = 100e9, .bytes_per_second = 10e9};
const std::vector<OperationCost> kCosts{
    {.name = "conv1",
     .pass = "forward",
     .how = "direct",
     .flops = 1e9,
     .bytes = 1e6,
     .seconds = .02},
    {.name = "a_name_that_is_far_too_long_for_a_column",
     .pass = "backward",
     .how = "normalise + sum + mask of everything that is there",
     .bytes = 1e8,
     .seconds = .03},
    {.name = "conv1", .pass = "backward", .how = "reorder", .seconds = .01}};

TEST(Roofline, AnOperationIsBoundByItsArithmeticOrItsBytes) {
  EXPECT_DOUBLE_EQ(roofline_seconds(kCosts[0], kLimits), 0.01);
  EXPECT_DOUBLE_EQ(roofline_seconds(kCosts[1], kLimits), 0.01);
  EXPECT_EQ(roofline_seconds(kCosts[2], kLimits), 0);
}

TEST(Roofline, TheStepIsComparedWithTheSumAndReordersAreOverhead) {
  const auto json = roofline(kCosts, kLimits, 0.07);
  EXPECT_DOUBLE_EQ(json.at("roofline_seconds"), 0.02);
  EXPECT_DOUBLE_EQ(json.at("operations_seconds"), 0.06);
  EXPECT_DOUBLE_EQ(json.at("reorder_seconds"), 0.01);
  EXPECT_DOUBLE_EQ(json.at("times_roofline"), 3.5);
  const auto& operations = json.at("operations");
  ASSERT_EQ(operations.size(), 3U);
  EXPECT_DOUBLE_EQ(operations[0].at("flops_per_second"), 50e9);
  EXPECT_DOUBLE_EQ(operations[1].at("bytes_per_second"), 1e8 / 0.03);
  EXPECT_DOUBLE_EQ(operations[1].at("share"), 0.5);
  EXPECT_EQ(operations[2].at("flops_per_second"), 0);
}

TEST(Roofline, TheTableHasTheSlowestFirstAndFitsATerminal) {
  const std::string table = roofline_table(roofline(kCosts, kLimits, 0.07));
  EXPECT_LT(table.find("a_name"), table.find("conv1"));
  EXPECT_THAT(table, AllOf(HasSubstr("50.0"), HasSubstr("2.00x"), HasSubstr("3.50 times")));
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) EXPECT_THAT(line.size(), Lt(121U)) << line;
}

}  // namespace
}  // namespace paceline
