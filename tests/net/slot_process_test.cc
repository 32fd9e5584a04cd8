// Slots between processes, any of which is killed at any moment, with their buffers in the arena and in
// memory that every process has at another address (SL-9).
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "net/far_memory.h"
#include "net/hunt.h"
#include "net/slot_peer.h"
#include "paceline/net/arena.h"
#include "test_seed.h"

namespace paceline {
namespace {

constexpr std::uint64_t kLayoutHash = 7;  // as in slot_peer.cc
constexpr std::size_t kPins = 16;

class SlotProcess : public testing::TestWithParam<bool> {
 protected:
  bool elsewhere() const { return GetParam(); }
  Arena arena_of(std::size_t bytes, bool checksums = false) {
    ArenaOptions options{"slot-process-test", kLayoutHash, {{bytes}}, kPins};
    if (elsewhere()) options.slots[0].memory = &far_;
    options.checksums = checksums;
    return Arena::create(options).value();
  }

 private:
  FarMemory far_;
};

INSTANTIATE_TEST_SUITE_P(Buffers, SlotProcess, testing::Bool(), [](const auto& elsewhere) {
  return elsewhere.param ? "MemoryElsewhere" : "TheArena";
});

std::uint64_t publish(Slot slot) {
  auto loan = slot.loan();
  if (!loan) return 0;
  fill_with_version(loan->bytes(), slot.version() + 1);
  return std::move(*loan).publish();
}

/// How many pin words nobody holds.
std::size_t free_words(Slot slot) {
  std::vector<Pin> pins;
  while (Pin pin = slot.pin()) pins.push_back(std::move(pin));
  return pins.size();
}

void sleep_up_to(std::chrono::microseconds longest, std::mt19937_64& random) {
  std::this_thread::sleep_for(longest * static_cast<int>(random() % 1000) / 1000);
}

TEST_P(SlotProcess, WriterKilledBetweenLoanAndPublishLeavesTheNewestVersion) {
  const Arena arena = arena_of(1 << 20);
  Slot slot = arena.slot(0);
  publish(slot);
  for (std::uint64_t version = 1; version <= 4; ++version) {
    SlotPeer writer("loan", arena.segment());
    ASSERT_EQ(writer.line(), "loaned");
    EXPECT_TRUE(holds_version(slot.pin().bytes(), version));
    ASSERT_EQ(writer.kill(), -SIGKILL);
    EXPECT_EQ(slot.version(), version);
    EXPECT_TRUE(holds_version(slot.pin().bytes(), version));
    EXPECT_EQ(publish(slot), version + 1) << "another writer goes on";
  }
}

TEST_P(SlotProcess, WriterKilledAtAnyMomentLeavesAWholeVersion) {
  std::mt19937_64 random(test_seed());
  // Large blocks are killed while being written, small ones also between the words of a publish.
  using Case = std::pair<std::size_t, bool>;  // bytes, checksums
  for (const auto& [bytes, checksums] :
       {Case{64, false}, Case{256 << 10, false}, Case{64, true}, Case{256 << 10, true}}) {
    if (checksums && elsewhere()) continue;
    const Arena arena = arena_of(bytes, checksums);
    Slot slot = arena.slot(0);
    std::uint64_t newest = 0;
    for (int round = 0; round < 40; ++round) {
      SlotPeer writer("write", arena.segment());
      ASSERT_EQ(writer.line(), "writing");
      sleep_up_to(std::chrono::milliseconds(2), random);
      ASSERT_EQ(writer.kill(), -SIGKILL);
      const Pin pin = slot.pin();
      ASSERT_GT(pin.version(), newest);
      ASSERT_TRUE(holds_version(pin.bytes(), pin.version()));
      newest = publish(slot);
      ASSERT_EQ(newest, pin.version() + 1);
    }
    EXPECT_EQ(slot.damage(), SlotDamage{}) << "its checksum is whole, too";
  }
}

TEST_P(SlotProcess, PinsOfKilledReadersHoldTheirBuffersUntilTheyAreCleared) {
  Arena arena = arena_of(4096);
  Slot slot = arena.slot(0);
  publish(slot);
  SlotPeer first("hold", arena.segment());
  ASSERT_EQ(first.line(), "holding");
  publish(slot);
  SlotPeer second("hold", arena.segment());
  ASSERT_EQ(second.line(), "holding");
  publish(slot);
  EXPECT_FALSE(slot.loan());
  ASSERT_EQ(first.kill(), -SIGKILL);
  EXPECT_FALSE(slot.loan()) << "only a supervisor says who is dead";
  EXPECT_EQ(arena.clear_pins(first.identity()), 1u);
  EXPECT_EQ(arena.clear_pins(first.identity()), 0u);
  EXPECT_EQ(publish(slot), 4u);
  ASSERT_EQ(second.kill(), -SIGKILL);
  EXPECT_EQ(arena.clear_pins(second.identity()), 1u);
  EXPECT_EQ(free_words(slot), kPins);
}

TEST_P(SlotProcess, ReadersKilledAtAnyMomentNeverStopTheWriterForGood) {
  std::mt19937_64 random(test_seed());
  Arena arena = arena_of(4096);
  Slot slot = arena.slot(0);
  publish(slot);
  std::size_t left_behind = 0;
  for (int round = 0; round < 40; ++round) {
    SlotPeer reader("read", arena.segment());
    if (round % 2 == 0) {  // else it may not even be attached yet
      ASSERT_EQ(reader.line(), "reading");
    }
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 5000);
    while (std::chrono::steady_clock::now() < until) publish(slot);
    ASSERT_EQ(reader.kill(), -SIGKILL) << "3: it saw a torn version";
    left_behind += arena.clear_pins(reader.identity());
    ASSERT_EQ(free_words(slot), kPins);
    ASSERT_NE(publish(slot), 0u);
  }
  EXPECT_GT(left_behind, 0u) << "no reader was ever killed while it held a pin";
  std::cout << left_behind << " pins were left behind" << std::endl;
}

// The hunt for torn reads between processes: readers that run through, others that are killed and
// replaced, and the newest version read here; a writer that is killed and replaced as well.
TEST_P(SlotProcess, ReaderNeverSeesAHalfWrittenVersion) {
  std::mt19937_64 random(test_seed());
  Arena arena = arena_of(32 << 10);
  Slot slot = arena.slot(0);
  publish(slot);
  std::vector<std::unique_ptr<SlotPeer>> readers;
  for (int i = 0; i < 2; ++i) {
    readers.push_back(std::make_unique<SlotPeer>("read", arena.segment()));
    ASSERT_EQ(readers.back()->line(), "reading");
  }
  std::uint64_t reads = 0, kills = 0;
  const auto end = std::chrono::steady_clock::now() + hunt_time();
  while (std::chrono::steady_clock::now() < end) {
    SlotPeer writer("write", arena.segment());
    SlotPeer mortal("read", arena.segment());
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(5 + random() % 50);
    while (std::chrono::steady_clock::now() < until) {
      const Pin pin = slot.pin();
      ASSERT_TRUE(holds_version(pin.bytes(), pin.version()));
      ++reads;
    }
    ASSERT_EQ(mortal.kill(), -SIGKILL) << "3: it saw a torn version";
    arena.clear_pins(mortal.identity());
    ASSERT_EQ(writer.kill(), -SIGKILL);
    ++kills;
  }
  for (const auto& reader : readers) EXPECT_EQ(reader->kill(), -SIGKILL) << "3: a torn version";
  std::cout << slot.version() << " versions, " << reads << " reads here, " << kills
            << " writers and as many readers killed, busy " << slot.busy() << std::endl;
}

}  // namespace
}  // namespace paceline
