#include "paceline/actors/inbox.h"

#include <gtest/gtest.h>

namespace paceline {
namespace {

Packet packet(std::uint8_t kind, std::uint64_t round, std::uint32_t from = 0) {
  Packet p;
  p.kind = kind;
  p.round = round;
  p.from = from;
  return p;
}

TEST(Inbox, GivesTheOldestWantedAndKeepsTheRest) {
  Inbox box;
  box.push(packet(1, 0, 10));
  box.push(packet(2, 0, 11));
  box.push(packet(1, 0, 12));
  Packet p;
  ASSERT_TRUE(box.take({1u << 2, 0}, p));
  EXPECT_EQ(p.from, 11u);
  EXPECT_FALSE(box.take({1u << 2, 0}, p));
  ASSERT_TRUE(box.take({}, p));
  EXPECT_EQ(p.from, 10u);
  ASSERT_TRUE(box.take({}, p));
  EXPECT_EQ(p.from, 12u);
  EXPECT_EQ(box.size(), 0u);
}

TEST(Inbox, DropsWhatBelongsToAnOlderRoundButNeverTheNewsOfAnEnd) {
  Inbox box;
  box.push(packet(1, 3, 10));
  box.push(gone_packet({7}, true));
  box.push(packet(2, 3, 11));
  box.push(packet(1, 4, 12));
  Packet p;
  ASSERT_TRUE(box.take({1u << 1, 4}, p));
  EXPECT_EQ(p.from, 12u);
  EXPECT_EQ(box.late(), 1u);
  ASSERT_TRUE(box.take({1u << 0 | 1u << 1, 9}, p));
  EXPECT_EQ(p.kind, 0);
  EXPECT_EQ(box.size(), 1u) << "another kind of an old round stays";
}

}  // namespace
}  // namespace paceline
