#include "paceline/actors/device_turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace paceline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(DeviceTurns, DealKindsAndTheAcceleratorsOfAKindOutInTurn) {
  const DeviceTurns turns = DeviceTurns::parse("cuda,cpu,cuda").value();  // DT-1, DT-2
  std::vector<std::string> kinds;
  std::vector<std::uint32_t> numbers;
  for (Rank rank = 0; rank < 6; ++rank) {
    kinds.push_back(turns.of(rank));
    numbers.push_back(turns.turn(rank));
  }
  EXPECT_THAT(kinds, ElementsAre("cuda", "cpu", "cuda", "cuda", "cpu", "cuda"));
  EXPECT_THAT(numbers, ElementsAre(0, 0, 1, 2, 1, 3));
  EXPECT_THAT(turns.kinds(), ElementsAre("cuda", "cpu"));
  EXPECT_TRUE(turns.mixed());
}

TEST(DeviceTurns, OfOneNameGiveItToAllWhereverItStandsTwice) {
  for (const char* list : {"cpu", "cpu,cpu"}) {
    const DeviceTurns turns = DeviceTurns::parse(list).value();
    EXPECT_EQ(turns.of(7), "cpu");
    EXPECT_EQ(turns.turn(7), 7u);
    EXPECT_FALSE(turns.mixed());
  }
}

TEST(DeviceTurns, RefuseAnEmptyName) {
  for (const char* list : {"", ",", "cpu,", ",cpu", "cpu,,cuda"}) {
    const auto turns = DeviceTurns::parse(list);
    ASSERT_FALSE(turns) << list;
    EXPECT_THAT(turns.error().message, HasSubstr("has an empty name"));
  }
}

TEST(DeviceTurns, AskNoHostForAnotherPrecisionBesideAnAccelerator) {
  const DeviceOptions bf16{.precision = Precision::bf16};
  EXPECT_TRUE(DeviceTurns::parse("cuda,cpu").value().open("cpu", bf16));
  const auto alone = DeviceTurns::parse("reference,cpu").value().open("cpu", bf16);
  ASSERT_FALSE(alone);
  EXPECT_THAT(alone.error().message, HasSubstr("--precision bf16"));
}

}  // namespace
}  // namespace paceline
