// Slots within one process; slot_process_test.cc has them between processes. What holds for all holds
// wherever their buffers lie: in the arena, or in memory beside it (SL-9).
#include "paceline/net/slot.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <iostream>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "net/far_memory.h"
#include "net/hunt.h"
#include "paceline/net/arena.h"
#include "test_seed.h"

namespace paceline {
namespace {

enum class Where { in_the_arena, elsewhere };

class SlotIn : public testing::TestWithParam<Where> {
 protected:
  Arena arena_of(std::size_t bytes, std::size_t pins = 0) {
    BufferMemory* memory = GetParam() == Where::elsewhere ? &far_ : nullptr;
    return Arena::local({"test", 0, {{bytes, false, memory}}, pins}).value();
  }

 private:
  FarMemory far_;
};
class SlotInDeathTest : public SlotIn {};

std::string name_of(const testing::TestParamInfo<Where>& where) {
  return where.param == Where::elsewhere ? "MemoryElsewhere" : "TheArena";
}
const auto kEverywhere = testing::Values(Where::in_the_arena, Where::elsewhere);
INSTANTIATE_TEST_SUITE_P(Buffers, SlotIn, kEverywhere, name_of);
INSTANTIATE_TEST_SUITE_P(Buffers, SlotInDeathTest, kEverywhere, name_of);

std::uint64_t publish(Slot slot) {
  auto loan = slot.loan();
  if (!loan) return 0;
  fill_with_version(loan->bytes(), slot.version() + 1);
  return std::move(*loan).publish();
}

TEST_P(SlotIn, PinIsEmptyBeforeTheFirstPublish) {
  const Arena arena = arena_of(64);
  const Pin pin = arena.slot(0).pin();
  EXPECT_FALSE(pin);
  EXPECT_EQ(pin.version(), 0u);
  EXPECT_TRUE(pin.bytes().empty());
  EXPECT_EQ(arena.slot(0).version(), 0u);
}

TEST_P(SlotIn, VersionsGrowByOneWithEachPublish) {
  const Arena arena = arena_of(64);
  for (std::uint64_t version = 1; version <= 10; ++version) {
    EXPECT_EQ(publish(arena.slot(0)), version);
    EXPECT_EQ(arena.slot(0).version(), version);
    EXPECT_EQ(arena.slot(0).pin().version(), version);
  }
}

TEST_P(SlotIn, PublishAsJumps) {
  const Arena arena = arena_of(64);
  Slot slot = arena.slot(0);
  EXPECT_EQ(slot.loan()->bytes().size(), 64u);
  EXPECT_EQ(std::move(*slot.loan()).publish_as(17), 17u);
  EXPECT_EQ(slot.pin().version(), 17u);
  EXPECT_EQ(publish(slot), 18u);
}

TEST_P(SlotIn, PublishAsMayGoBackAndTheLastPublishedIsStillTheNewest) {
  const Arena arena = arena_of(64);
  Slot slot = arena.slot(0);
  std::move(*slot.loan()).publish_as(9);
  const Pin old = slot.pin();
  for (const std::uint64_t version : {2, 9, 9, 1}) {
    std::move(*slot.loan()).publish_as(version);
    EXPECT_EQ(slot.version(), version);
    EXPECT_EQ(slot.pin().version(), version);
  }
  EXPECT_EQ(old.version(), 9u);
}

TEST_P(SlotInDeathTest, PublishAsRefusesTheVersionOfNothing) {
  const Arena arena = arena_of(64);
  EXPECT_DEATH(std::move(*arena.slot(0).loan()).publish_as(0), "version 0");
}

TEST_P(SlotIn, DroppedLoanLeavesTheNewestVersion) {
  const Arena arena = arena_of(4096);
  Slot slot = arena.slot(0);
  publish(slot);
  for (int i = 0; i < 5; ++i) {
    auto loan = slot.loan();
    ASSERT_TRUE(loan);
    fill_with_version(loan->bytes(), 99);
  }
  const Pin pin = slot.pin();
  EXPECT_EQ(pin.version(), 1u);
  EXPECT_TRUE(holds_version(pin.bytes(), 1));
  EXPECT_EQ(publish(slot), 2u);
}

TEST_P(SlotIn, LoanIsRefusedAndCountedWhileReadersHoldEveryOtherBuffer) {
  const Arena arena = arena_of(4096);
  Slot slot = arena.slot(0);
  std::array<Pin, 2> pins;
  for (Pin& pin : pins) {
    publish(slot);
    pin = slot.pin();
  }
  publish(slot);
  EXPECT_EQ(slot.busy(), 0u);
  EXPECT_FALSE(slot.loan());
  EXPECT_FALSE(slot.loan());
  EXPECT_EQ(slot.busy(), 2u);
  EXPECT_TRUE(holds_version(pins[0].bytes(), 1));
  EXPECT_TRUE(holds_version(pins[1].bytes(), 2));
  pins[0] = {};
  EXPECT_EQ(publish(slot), 4u);
  EXPECT_EQ(slot.busy(), 2u);
}

TEST_P(SlotIn, ManyPinsOfOneVersionAreManyWords) {
  const Arena arena = arena_of(64, 5);
  Slot slot = arena.slot(0);
  publish(slot);
  std::vector<Pin> pins(5);
  for (Pin& pin : pins) ASSERT_TRUE(pin = slot.pin());
  EXPECT_FALSE(slot.pin()) << "all words are taken";
  pins[2] = {};
  EXPECT_TRUE(slot.pin());
  publish(slot);
  publish(slot);
  for (const Pin& pin : pins) EXPECT_TRUE(!pin || holds_version(pin.bytes(), 1));
}

TEST_P(SlotIn, MovedPinHoldsOnAndAssignedPinLetsGo) {
  const Arena arena = arena_of(64, 1);
  Slot slot = arena.slot(0);
  publish(slot);
  Pin first = slot.pin();
  Pin second = std::move(first);
  EXPECT_FALSE(first);
  EXPECT_EQ(second.version(), 1u);
  EXPECT_FALSE(slot.pin()) << "the one word is still taken";
  Pin& itself = second;
  second = std::move(itself);
  EXPECT_TRUE(second);
  second = Pin();
  EXPECT_TRUE(slot.pin());
}

TEST_P(SlotIn, MovedLoanPublishesOnce) {
  const Arena arena = arena_of(64);
  Slot slot = arena.slot(0);
  std::optional<Loan> first = slot.loan();
  std::optional<Loan> second;
  second = std::move(first);
  fill_with_version(second->bytes(), 1);
  EXPECT_EQ(std::move(*second).publish(), 1u);
  second = slot.loan();  // and what was published is not published again by its end
  first.reset();
  second.reset();
  EXPECT_EQ(slot.version(), 1u);
}

TEST_P(SlotIn, EmptyBlockCarriesVersionsToo) {
  const Arena arena = arena_of(0);
  EXPECT_EQ(publish(arena.slot(0)), 1u);
  EXPECT_TRUE(arena.slot(0).pin().bytes().empty());
}

TEST_P(SlotIn, ClearedPinsAreOfOneProcessOnly) {
  Arena arena = arena_of(64, 2);
  Slot slot = arena.slot(0);
  publish(slot);
  ProcessIdentity self = this_process();
  const Pin pin = slot.pin();
  EXPECT_EQ(arena.clear_pins(self.pid + 1, self.start_time), 0u);
  EXPECT_EQ(arena.clear_pins(self.pid, self.start_time + 1), 0u) << "a later process of that pid";
  publish(slot);
  publish(slot);
  EXPECT_TRUE(holds_version(pin.bytes(), 1));
}

TEST_P(SlotInDeathTest, SecondLoanWhileTheFirstIsOutAborts) {
  const Arena arena = arena_of(64);
  const auto loan = arena.slot(0).loan();
  EXPECT_DEATH(arena.slot(0).loan(), "a second loan");
}

// Random single-threaded sequences, against the rule book: every pinned version stays whole, a loan
// is refused exactly when the pins and the newest cover all three buffers (SL-1, SL-2).
TEST_P(SlotIn, RandomSequencesKeepEveryPinnedVersion) {
  std::mt19937_64 random(test_seed());
  for (int round = 0; round < 200; ++round) {
    const Arena arena = arena_of(256, 6);
    Slot slot = arena.slot(0);
    std::vector<std::pair<Pin, std::uint64_t>> pins;
    std::uint64_t newest = 0, refused = 0;
    for (int turn = 0; turn < 100; ++turn) {
      const auto choice = random() % 8;
      if (choice < 3) {
        std::map<std::uint64_t, int> held;
        if (newest != 0) ++held[newest];
        for (const auto& [pin, version] : pins) ++held[version];
        auto loan = slot.loan();
        ASSERT_EQ(loan.has_value(), held.size() < 3);
        if (!loan) {
          ++refused;
        } else if (const auto jump = random() % 4; jump != 0) {
          fill_with_version(loan->bytes(), newest + jump);
          newest = std::move(*loan).publish_as(newest + jump);
        } else {
          fill_with_version(loan->bytes(), 0);  // and is dropped
        }
      } else if (choice < 6) {
        Pin pin = slot.pin();
        ASSERT_EQ(static_cast<bool>(pin), newest != 0 && pins.size() < 6);
        if (pin) pins.emplace_back(std::move(pin), newest);
      } else if (!pins.empty()) {
        std::swap(pins[random() % pins.size()], pins.back());
        pins.pop_back();
      }
      for (const auto& [pin, version] : pins) {
        ASSERT_EQ(pin.version(), version);
        ASSERT_TRUE(holds_version(pin.bytes(), version));
      }
      ASSERT_EQ(slot.version(), newest);
      ASSERT_EQ(slot.busy(), refused);
    }
  }
}

// The hunt for torn reads among threads; under ThreadSanitizer it hunts for races as well.
TEST_P(SlotIn, ReaderNeverSeesAHalfWrittenVersion) {
  const auto seed = test_seed();
  for (const std::size_t bytes : {64, 16 << 10}) {
    const Arena arena = arena_of(bytes);
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> torn = 0, backward = 0, reads = 0;
    const auto read = [&](std::uint64_t reader) {
      std::mt19937_64 random(seed + reader);
      std::array<Pin, 2> pins;
      for (std::uint64_t last = 0; !stop;) {
        Pin& pin = pins[random() % pins.size()];
        pin = arena.slot(0).pin();
        if (!pin) continue;
        backward += pin.version() < last;
        last = pin.version();
        torn += !holds_version(pin.bytes(), last);
        if (random() % 8 == 0) std::this_thread::yield();
        torn += !holds_version(pin.bytes(), last);
        ++reads;
      }
    };
    std::vector<std::thread> readers;
    for (std::uint64_t reader = 1; reader <= 3; ++reader) readers.emplace_back(read, reader);
    const auto end = std::chrono::steady_clock::now() + hunt_time() / 2;
    while (std::chrono::steady_clock::now() < end) publish(arena.slot(0));
    stop = true;
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(torn, 0u);
    EXPECT_EQ(backward, 0u);
    std::cout << bytes << " bytes: " << arena.slot(0).version() << " versions, " << reads
              << " reads, busy " << arena.slot(0).busy() << std::endl;
    EXPECT_GT(reads, 0u);
    EXPECT_GT(arena.slot(0).version(), 0u);
  }
}

/// With checksums, and a way to write where nobody may.
class ChecksummedSlot : public testing::Test {
 protected:
  static Arena made() {
    ArenaOptions options{"test", 0, {{4096}}};
    options.checksums = true;
    return Arena::local(options).value();
  }
  /// Flips one bit of what was published last.
  void flip(std::size_t byte) {
    const_cast<std::byte&>(newest_[byte]) ^= std::byte{4};  // NOLINT: what is tested
  }
  void publish_next() {
    publish(slot);
    newest_ = slot.pin().bytes();
  }
  const Arena arena = made();
  const Slot slot = arena.slot(0);

 private:
  std::span<const std::byte> newest_;
};

TEST_F(ChecksummedSlot, FindsNothingWhereNobodyMeddles) {
  for (int i = 0; i < 20; ++i) {
    publish_next();
    const Pin pin = slot.pin();
    EXPECT_TRUE(holds_version(pin.bytes(), pin.version()));
  }
  std::move(*slot.loan()).publish_as(7);
  EXPECT_EQ(slot.pin().version(), 7u);
  EXPECT_EQ(slot.damage(), SlotDamage{});
}

TEST_F(ChecksummedSlot, RefusesABufferInWhichOneBitIsNotAsItWasPublished) {
  for (const std::size_t byte : {0, 1, 2047, 4095}) {
    publish_next();
    flip(byte);
    const SlotDamage before = slot.damage();
    EXPECT_FALSE(slot.pin());
    EXPECT_FALSE(slot.pin());
    EXPECT_EQ(slot.damage(), (SlotDamage{before.refused + 2, 0, slot.version()}));
    flip(byte);
    EXPECT_TRUE(slot.pin()) << "it is what was published again";
  }
}

TEST_F(ChecksummedSlot, HealsWithTheNextPublish) {
  publish_next();
  flip(99);
  EXPECT_FALSE(slot.pin());
  for (int i = 0; i < 3; ++i) {  // every buffer is written to again: no pin was left behind
    publish_next();
    EXPECT_TRUE(slot.pin());
  }
  EXPECT_EQ(slot.damage().refused, 1u);
}

TEST_F(ChecksummedSlot, CountsWhatChangesWhileItIsPinned) {
  publish_next();
  {
    Pin first = slot.pin(), second = slot.pin();
    Pin moved = std::move(first);
    flip(1000);
    EXPECT_EQ(slot.damage(), SlotDamage{}) << "nobody has looked";
  }
  EXPECT_EQ(slot.damage(), (SlotDamage{0, 2, 1}));
}

TEST_P(SlotIn, WithoutChecksumsTakesWhatIsThere) {
  const Arena arena = arena_of(4096);
  publish(arena.slot(0));
  const_cast<std::byte&>(arena.slot(0).pin().bytes()[5]) ^= std::byte{4};  // NOLINT: what is tested
  EXPECT_TRUE(arena.slot(0).pin());
  EXPECT_EQ(arena.slot(0).damage(), SlotDamage{});
}

TEST_P(SlotIn, SaysWhereItsBuffersAre) {
  const Arena arena = arena_of(64);
  EXPECT_EQ(arena.slot(0).is_elsewhere(), GetParam() == Where::elsewhere);
  const std::byte* buffer = arena.slot(0).loan()->bytes().data();
  const std::byte* words = arena.memory_at_first().data();
  EXPECT_EQ(buffer >= words && buffer < words + arena.bytes(), GetParam() == Where::in_the_arena);
}

TEST(Slot, CopyBlockCopiesEveryByte) {
  for (const std::size_t bytes : {0, 1, 63, 64, 4097, 3 << 20}) {
    std::vector<std::byte> from(bytes), to(bytes + 2, std::byte{1});
    for (std::size_t i = 0; i < bytes; ++i) from[i] = static_cast<std::byte>(i * 7 + i / 251);
    copy_block(std::span(to).subspan(1, bytes), from);
    EXPECT_TRUE(std::equal(from.begin(), from.end(), to.begin() + 1));
    EXPECT_EQ(to.front(), std::byte{1});
    EXPECT_EQ(to.back(), std::byte{1});
  }
}

}  // namespace
}  // namespace paceline
