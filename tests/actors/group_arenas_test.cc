#include "paceline/actors/group_arenas.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace paceline {
namespace {

constexpr std::size_t kCount = 1000;

class GroupArenasTest : public testing::Test {
 protected:
  void publish(Rank worker, float value) {
    auto loan = arenas.slot({{worker}, kParameters}).loan();
    ASSERT_TRUE(loan);
    vector_math_f32().fill({loan->bytes().data(), kCount}, value);
    std::move(*loan).publish();
  }
  static float first(const Pin& pin) {
    float value = 0;
    std::memcpy(&value, pin.bytes().data(), sizeof value);
    return value;
  }
  static Layout layout() {
    Layout of_one;
    of_one.elements = kCount;
    return of_one;
  }
  const Place place{2, 3};  // workers 0 to 2 in group 0, 3 to 5 in group 1
  GroupArenas arenas =
      GroupArenas::create(*find_protocol("lsgd"), vector_math_f32(), layout(), place, "a").value();
};

TEST_F(GroupArenasTest, OnlySlotsOfParametersHaveRoomForBuffers) {
  Layout with_buffers = layout();
  with_buffers.buffer_elements = 48;
  for (const char* name : {"lsgd", "easgd", "diana"}) {
    const Protocol& protocol = *find_protocol(name);
    const VectorMath& math = vector_math_f32();
    const auto made = GroupArenas::create(protocol, math, with_buffers, place, "b").value();
    for (std::uint32_t i = 0; i < place.roles(); ++i) {
      const auto shapes = protocol.slots(place.role({i}), math, kCount, place);
      for (std::uint32_t k = 0; k < shapes.size(); ++k)
        EXPECT_EQ(made.slot({{i}, k}).bytes(),
                  shapes[k].bytes + (k == kParameters ? math.bytes(48) : 0))
            << name << ", " << place.name({i}) << ", slot " << k;
    }
  }
}

TEST_F(GroupArenasTest, ASeatThatBeginsEmptyHasSlotsOfItsOwnOnceItIsReserved) {
  const Place larger{2, 2, 3};  // workers 0 to 3, then 4 and 6 in group 0, 5 in group 1
  EXPECT_EQ(larger.group({4}), 0u);
  EXPECT_EQ(larger.group({5}), 1u);
  EXPECT_EQ(larger.group({6}), 0u);
  EXPECT_EQ(larger.role({6}), Role::worker);
  EXPECT_EQ(larger.leader(0), Address{7});
  EXPECT_EQ(larger.group(larger.leader(1)), 1u);
  EXPECT_EQ(larger.role(larger.global()), Role::global);
  for (const char* name : {"lsgd", "easgd", "diana"}) {
    auto made = GroupArenas::create(*find_protocol(name), vector_math_f32(), layout(), larger, "c",
                                    {.worker = 4096, .centre = 4096})
                    .value();
    for (Rank rank = 4; rank < 7; ++rank) {
      ASSERT_TRUE(made.reserve({rank})) << name;
      for (Slot slot : {made.slot({{rank}, kParameters}), made.state_slot({rank})}) {
        auto loan = slot.loan();
        ASSERT_TRUE(loan);
        std::ranges::fill(loan->bytes(), static_cast<std::byte>(rank));
        std::move(*loan).publish();
      }
    }
    for (Rank rank = 4; rank < 7; ++rank)
      for (const Slot slot : {made.slot({{rank}, kParameters}), made.state_slot({rank})})
        EXPECT_EQ(slot.pin().bytes().back(), static_cast<std::byte>(rank)) << name;
  }
}

TEST_F(GroupArenasTest, AnOwnSlotIsPinnedInPlace) {
  publish(1, 5);
  const Pin a = arenas.pin(0, {{1}, kParameters}, 0), b = arenas.pin(0, {{1}, kParameters}, 0);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a.bytes().data(), b.bytes().data());
  EXPECT_EQ(first(a), 5);
}

TEST_F(GroupArenasTest, AnotherGroupsSlotIsThereOnceItWasFetchedAndThenForAll) {
  publish(1, 5);
  publish(1, 6);
  EXPECT_FALSE(arenas.pin(1, {{1}, kParameters}, 0));
  ASSERT_TRUE(arenas.fetch(1, {{1}, kParameters}));
  const Pin a = arenas.pin(1, {{1}, kParameters}, 2), b = arenas.pin(1, {{1}, kParameters}, 2);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a.bytes().data(), b.bytes().data());
  EXPECT_NE(a.bytes().data(), arenas.slot({{1}, kParameters}).pin().bytes().data());
  EXPECT_EQ(a.version(), 2u) << "a copy carries the version of what it copies";
  EXPECT_EQ(first(a), 6);
  EXPECT_FALSE(arenas.pin(1, {{1}, kParameters}, 3)) << "nothing that new is there";
}

TEST_F(GroupArenasTest, NothingIsFetchedOfASlotThatWasNeverPublished) {
  EXPECT_FALSE(arenas.fetch(1, {{0}, kParameters}));
}

TEST_F(GroupArenasTest, ACopyForAnotherGroupHasTheBuffersBehindTheParameters) {
  Layout with_buffers = layout();
  with_buffers.buffer_elements = 48;
  const VectorMath& math = vector_math_f32();
  auto made = GroupArenas::create(*find_protocol("lsgd"), math, with_buffers, place, "b").value();
  auto loan = made.slot({{0}, kParameters}).loan();
  ASSERT_TRUE(loan);
  ASSERT_EQ(loan->bytes().size(), math.bytes(kCount + 48));
  std::vector<float> values(kCount + 48);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i + 1);
  std::memcpy(loan->bytes().data(), values.data(), values.size() * sizeof(float));
  std::move(*loan).publish();
  ASSERT_TRUE(made.fetch(1, {{0}, kParameters}));
  const Pin pin = made.pin(1, {{0}, kParameters}, 1);
  ASSERT_TRUE(pin);
  EXPECT_EQ(std::memcmp(pin.bytes().data(), values.data(), values.size() * sizeof(float)), 0);
}

TEST_F(GroupArenasTest, ALeaderWithAnOlderVersionThanTheLastOneIsCopiedToo) {
  for (int i = 0; i < 9; ++i) publish(0, 1);
  publish(1, 2);
  publish(2, 3);
  for (int round = 0; round < 3; ++round)
    for (const Rank leader : {0u, 1u, 2u}) {  // more leaders than copies
      ASSERT_TRUE(arenas.fetch(1, {{leader}, kParameters}));
      const Pin pin = arenas.pin(1, {{leader}, kParameters}, 1);
      ASSERT_TRUE(pin) << "leader " << leader;
      EXPECT_EQ(first(pin), static_cast<float>(leader + 1));
      EXPECT_EQ(pin.version(), leader == 0 ? 9u : 1u);
    }
}

TEST_F(GroupArenasTest, APinnedCopyIsNeverWrittenOver) {
  publish(0, 1);
  ASSERT_TRUE(arenas.fetch(1, {{0}, kParameters}));
  const Pin pin = arenas.pin(1, {{0}, kParameters}, 0);
  for (int i = 0; i < 20; ++i) {
    publish(0, 2);
    publish(1, 3);
    publish(2, 4);
    for (const Rank leader : {0u, 1u, 2u}) arenas.fetch(1, {{leader}, kParameters});
  }
  EXPECT_EQ(first(pin), 1);
}

TEST_F(GroupArenasTest, ChecksumsNameTheSlotThatSomebodyWroteInto) {
  arenas = GroupArenas::create(*find_protocol("lsgd"), vector_math_f32(), layout(), place, "c",
                               {.worker = 64}, true)
               .value();
  for (const Rank worker : {0u, 4u}) publish(worker, 1);
  EXPECT_TRUE(arenas.damaged().empty());
  {
    const Pin pin = arenas.pin(1, {{4}, kParameters}, 0);
    const_cast<std::byte&>(pin.bytes()[kCount]) ^= std::byte{1};  // NOLINT: what is tested
  }
  EXPECT_FALSE(arenas.pin(1, {{4}, kParameters}, 0));
  EXPECT_FALSE(arenas.fetch(0, {{4}, kParameters})) << "no copy is made of it";
  EXPECT_TRUE(arenas.pin(0, {{0}, kParameters}, 0));
  auto found = arenas.damaged();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].owner, place.worker(4));
  EXPECT_EQ(found[0].what, "worker 4's parameters");
  EXPECT_EQ(found[0].damage, (SlotDamage{2, 1, 1}));

  publish(4, 2);
  EXPECT_TRUE(arenas.fetch(0, {{4}, kParameters}));
  const_cast<std::byte&>(arenas.pin(0, {{4}, kParameters}, 0).bytes()[0]) ^=  // NOLINT
      std::byte{1};
  EXPECT_FALSE(arenas.pin(0, {{4}, kParameters}, 0)) << "a copy has a checksum of its own";
  std::move(*arenas.state_slot({5}).loan()).publish();
  const_cast<std::byte&>(arenas.state_slot({5}).pin().bytes()[0]) ^= std::byte{1};  // NOLINT
  EXPECT_FALSE(arenas.state_slot({5}).pin());
  std::set<std::string> names;
  for (const DamagedSlot& slot : arenas.damaged()) names.insert(slot.what);
  EXPECT_EQ(names, (std::set<std::string>{"worker 4's parameters", "group 0's copy of another's",
                                          "worker 5's state"}));
}

}  // namespace
}  // namespace paceline
