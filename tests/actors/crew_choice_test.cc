#include "paceline/actors/crew_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace paceline {
namespace {

using Now = SeatView::Now;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr SeatView riding(std::uint32_t group, bool leads = false) {
  return {group, Now::riding, leads};
}
constexpr SeatView of(std::uint32_t group, Now now) { return {group, now, false}; }

TEST(CrewChoice, WorkersAreAddedWhereTheFewestRide) {
  const std::vector<SeatView> seats{riding(0),        riding(0),        riding(0),
                                    riding(1),        of(0, Now::free), of(1, Now::free),
                                    of(0, Now::free), of(1, Now::free), of(0, Now::closed)};
  EXPECT_THAT(choose_to_add(seats, 1).value(), ElementsAre(5));
  EXPECT_THAT(choose_to_add(seats, 2).value(), ElementsAre(5, 7));
  EXPECT_THAT(choose_to_add(seats, 4).value(), ElementsAre(5, 7, 4, 6));
  const auto too_many = choose_to_add(seats, 5);
  ASSERT_FALSE(too_many);
  EXPECT_EQ(too_many.error().code, std::errc::invalid_argument);
  EXPECT_THAT(too_many.error().message,
              HasSubstr("4 ride and there are seats for 4 more, not for 5"));
  EXPECT_THAT(too_many.error().message, HasSubstr("--max-workers (here 9)"));
}

TEST(CrewChoice, AGroupWhoseLeaderHasEndedGetsNoWorker) {
  const std::vector<SeatView> seats{riding(0), of(1, Now::free), of(1, Now::closed),
                                    of(0, Now::free)};
  EXPECT_THAT(choose_to_add(seats, 1).value(), ElementsAre(3));
  EXPECT_FALSE(choose_to_add(seats, 2));
  const std::vector<SeatView> awaited{of(0, Now::awaited), of(0, Now::free)};
  EXPECT_THAT(choose_to_add(awaited, 1).value(), ElementsAre(1))
      << "it is there while one is to come";
}

TEST(CrewChoice, WorkersAreRemovedWhereTheMostRideTheLeaderLast) {
  const std::vector<SeatView> seats{riding(0), riding(0, true), riding(1),
                                    riding(1), riding(1),       of(1, Now::awaited)};
  EXPECT_THAT(choose_to_remove(seats, 1).value(), ElementsAre(5)) << "who is not there anyway";
  EXPECT_THAT(choose_to_remove(seats, 2).value(), ElementsAre(5, 4));
  EXPECT_THAT(choose_to_remove(seats, 4).value(), ElementsAre(5, 4, 3, 0)) << "1 leads";
  const auto too_many = choose_to_remove(seats, 5);
  ASSERT_FALSE(too_many);
  EXPECT_EQ(too_many.error().code, std::errc::invalid_argument);
  EXPECT_THAT(too_many.error().message,
              HasSubstr("6 ride and each group keeps one: 4 can be removed, not 5"));
}

TEST(CrewChoice, TheLastWorkerStays) {
  const std::vector<SeatView> seats{of(0, Now::closed), riding(0, true), of(0, Now::free)};
  EXPECT_THAT(choose_to_remove(seats, 1).error().message, HasSubstr("1 ride and one has to stay"));
  EXPECT_FALSE(choose_to_remove(std::vector{of(0, Now::closed)}, 1)) << "there is none";
}

}  // namespace
}  // namespace paceline
