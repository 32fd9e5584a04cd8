// Arenas with slots whose buffers lie in other memory (AR-5, SL-9).
#include "paceline/net/buffer_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "net/far_memory.h"
#include "net/hunt.h"
#include "net/slot_peer.h"
#include "paceline/net/arena.h"

namespace paceline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::uint64_t kLayoutHash = 7;
constexpr std::size_t kBytes = std::size_t{1} << 20;

class BufferMemoryTest : public testing::Test {
 protected:
  /// In the arena, elsewhere, elsewhere and later, in the arena and later, elsewhere and empty.
  Result<Arena> create() {
    ArenaOptions options{.name = "far", .layout_hash = kLayoutHash};
    options.slots = {
        {4096}, {kBytes, false, &far}, {kBytes, true, &far}, {4096, true}, {0, false, &far}};
    return Arena::create(options);
  }
  Result<Arena> attach(const Arena& arena, BufferMemory* memory) {
    return Arena::attach(arena.segment(), kLayoutHash, memory);
  }
  static std::uint64_t publish(Slot slot, std::uint64_t value) {
    auto loan = slot.loan();
    fill_with_version(loan->bytes(), value);
    return std::move(*loan).publish();
  }
  FarMemory far, theirs;
};

TEST_F(BufferMemoryTest, OnlyWordsAndWhatLiesInItTakeTheArenasMemory) {
  const Arena arena = create().value();
  EXPECT_LT(arena.bytes(), kBytes);
  EXPECT_EQ(far.allocated, 1);
  EXPECT_EQ(arena.slot(1).bytes(), kBytes);
  EXPECT_FALSE(arena.slot(0).is_elsewhere());
  EXPECT_TRUE(arena.slot(1).is_elsewhere());
}

TEST_F(BufferMemoryTest, EachProcessHasTheBytesAtAnAddressOfItsOwn) {
  const Arena arena = create().value();
  const Arena attached = attach(arena, &theirs).value();
  EXPECT_EQ(theirs.borrowed, 1);
  for (std::uint64_t version = 1; version <= 6; ++version) {
    const Arena& writer = version % 2 ? arena : attached;
    EXPECT_EQ(publish(writer.slot(1), version), version);
    const Pin here = arena.slot(1).pin(), there = attached.slot(1).pin();
    EXPECT_NE(here.bytes().data(), there.bytes().data());
    EXPECT_TRUE(holds_version(here.bytes(), version));
    EXPECT_TRUE(holds_version(there.bytes(), version));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(there.bytes().data()) % 64, 0u);
  }
  EXPECT_EQ(publish(attached.slot(4), 1), 1u) << "no bytes need no memory";
  EXPECT_TRUE(arena.slot(4).pin());
}

TEST_F(BufferMemoryTest, WhoCannotBorrowIsToldOnce) {
  const Arena arena = create().value();
  const auto without = attach(arena, nullptr);
  ASSERT_FALSE(without);
  EXPECT_THAT(without.error().message,
              AllOf(HasSubstr(arena.segment()), HasSubstr("slot 1 lies in a device's memory"),
                    HasSubstr("same options")));
  theirs.refuses = true;
  const auto refused = attach(arena, &theirs);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, std::errc::permission_denied);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("this process cannot borrow"), HasSubstr("nothing far at")));
}

TEST_F(BufferMemoryTest, WhatCannotBeAllocatedIsOneErrorAndLeavesNoSegment) {
  far.most = kBytes;  // and three buffers are needed
  const auto refused = create();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, std::errc::not_enough_memory);
  far.most = 3 * kBytes;
  EXPECT_TRUE(create()) << "the name is free";
}

TEST_F(BufferMemoryTest, ASlotForLaterIsOpenedWhereItWasNotReserved) {
  Arena arena = create().value();
  Arena attached = attach(arena, &theirs).value();
  for (const std::size_t slot : {2, 3}) {
    EXPECT_FALSE(arena.is_reserved(slot));
    ASSERT_TRUE(arena.reserve(slot));
    EXPECT_EQ(publish(arena.slot(slot), 5), 1u);
    EXPECT_TRUE(attached.is_reserved(slot));
    EXPECT_EQ(attached.slot(slot).version(), 1u);
    EXPECT_FALSE(attached.slot(slot).pin()) << "this process has not got the buffers";
    ASSERT_TRUE(attached.open(slot));
    ASSERT_TRUE(attached.open(slot)) << "again";
    EXPECT_TRUE(holds_version(attached.slot(slot).pin().bytes(), 5));
    EXPECT_EQ(publish(attached.slot(slot), 6), 2u);
    EXPECT_TRUE(holds_version(arena.slot(slot).pin().bytes(), 6));
  }
  EXPECT_EQ(far.allocated, 2);
  EXPECT_EQ(theirs.borrowed, 2);
  EXPECT_TRUE(arena.memory_for_later(2).empty());
  EXPECT_GE(arena.memory_for_later(3).size(), 3u * 4096);
}

TEST_F(BufferMemoryTest, ALoanWithoutTheBuffersIsABug) {
  Arena arena = create().value();
  EXPECT_DEATH(arena.slot(2).loan(), "has not got");
  const Arena attached = attach(arena, &theirs).value();
  ASSERT_TRUE(arena.reserve(2));
  EXPECT_DEATH(attached.slot(2).loan(), "has not got");
}

TEST_F(BufferMemoryTest, ChecksumsAreOfTheArenasOwnMemoryAlone) {
  ArenaOptions options{.name = "far", .layout_hash = kLayoutHash};
  options.slots = {{4096, false, &far}};
  options.checksums = true;
  const auto refused = Arena::create(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, std::errc::invalid_argument);
  EXPECT_THAT(refused.error().message, HasSubstr("checksums"));
}

TEST_F(BufferMemoryTest, WhatAWriterThatWasKilledHasPublishedOutlivesIt) {
  ArenaOptions options{.name = "peer", .layout_hash = kLayoutHash};
  options.slots = {{kBytes, false, &far}};
  const Arena arena = Arena::create(options).value();
  std::uint64_t version = 0;
  {
    SlotPeer writer("write", arena.segment());
    ASSERT_EQ(writer.line(), "writing");
    ASSERT_EQ(writer.kill(), -SIGKILL);
    version = arena.slot(0).version();
  }
  const Pin pin = arena.slot(0).pin();
  EXPECT_EQ(pin.version(), version);
  EXPECT_TRUE(holds_version(pin.bytes(), version));
}

}  // namespace
}  // namespace paceline
