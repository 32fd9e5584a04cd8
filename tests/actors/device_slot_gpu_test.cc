// The Slot contract where buffers lie in a GPU's memory (SL-9) and where an arena in the host's is
// mapped for it: what is published is what is read, by kernels and copies on streams of their own.
// Skips without a GPU.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "paceline/actors/device_buffers.h"
#include "paceline/actors/mapped_memory.h"
#include "paceline/compute/device.h"
#include "paceline/net/arena.h"

namespace paceline {
namespace {

constexpr std::size_t kCount = 300'000;  // a ResNet-20

class DeviceSlot : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    auto opened = open_device("cuda", {});
    if (!opened) GTEST_SKIP() << "no GPU: " << opened.error().message;
    device_ = std::move(opened).value();
    buffers_ = std::make_unique<DeviceBuffers>(*device_, 0);
    const SlotShape shape{.bytes = kCount * sizeof(float),
                          .memory = GetParam() ? buffers_.get() : nullptr};
    auto made = Arena::create({.name = "gpu-slots", .slots = {shape}});
    ASSERT_TRUE(made) << made.error().message;
    arena_ = std::make_unique<Arena>(std::move(made).value());
    if (GetParam()) return;
    const auto mapped = device_->map_host(arena_->memory_at_first());
    ASSERT_TRUE(mapped) << mapped.error().message;
  }
  void TearDown() override {
    if (arena_ && !GetParam()) device_->unmap_host(arena_->memory_at_first());
  }
  const VectorMath& math() const { return device_->math(); }
  static Vector vector(const Loan& loan) { return {loan.bytes().data(), kCount}; }
  static ConstVector vector(const Pin& pin) { return {pin.bytes().data(), kCount}; }
  std::vector<float> content(const Pin& pin) const {
    std::vector<float> host(kCount, -1);
    math().copy({host.data(), kCount}, vector(pin));
    return host;
  }

  std::unique_ptr<Device> device_;
  std::unique_ptr<DeviceBuffers> buffers_;
  std::unique_ptr<Arena> arena_;
};

TEST_P(DeviceSlot, WhatIsPublishedIsWhatIsReadAndPinsHoldIt) {  // SL-1, SL-2
  const Slot slot = arena_->slot(0);
  std::vector<Pin> pins;
  for (int version = 1; version <= 2; ++version) {
    auto loan = slot.loan();
    ASSERT_TRUE(loan);
    math().fill(vector(*loan), version);
    math().finish();
    EXPECT_EQ(std::move(*loan).publish(), static_cast<std::uint64_t>(version));
    pins.push_back(slot.pin());
  }
  for (int version = 3; version <= 6; ++version) {
    auto loan = slot.loan();
    ASSERT_TRUE(loan) << "the third buffer, or who holds the newest twice?";
    math().fill(vector(*loan), version);
    math().finish();
    std::move(*loan).publish();
    if (version > 3) continue;
    EXPECT_FALSE(slot.loan()) << "all but the newest are pinned";
    pins.erase(pins.begin() + 1);
  }
  EXPECT_EQ(content(pins[0]), std::vector<float>(kCount, 1)) << "pinned all the while";
  EXPECT_EQ(content(slot.pin()), std::vector<float>(kCount, 6));
}

TEST_P(DeviceSlot, NoReaderSeesAHalfWrittenVersion) {  // SL-4, by kernels of several threads
  const Slot slot = arena_->slot(0);
  std::atomic<bool> over = false;
  std::atomic<int> torn = 0, read = 0;
  std::vector<std::jthread> readers;
  for (int r = 0; r < 3; ++r)
    readers.emplace_back([&, r] {
      device_->use_for(static_cast<std::uint32_t>(r) + 1);
      auto memory = device_->allocate(kCount * sizeof(float));
      if (!memory) return;
      const Vector x{memory.value()->data(), kCount};
      std::vector<float> host(kCount);
      while (!over.load()) {
        math().fill(x, 0);
        std::uint64_t version = 0;
        {
          const Pin pin = slot.pin();
          if (!pin) continue;
          version = pin.version();
          math().pull(x, {vector(pin), 1});  // x = the leader, read in place
          math().finish();
        }
        math().copy({host.data(), kCount}, x);
        ++read;
        for (const float value : host) torn += value != static_cast<float>(version);
      }
    });
  auto memory = device_->allocate(kCount * sizeof(float));
  ASSERT_TRUE(memory) << memory.error().message;
  const Vector x{memory.value()->data(), kCount};
  for (std::uint64_t version = 0, tries = 0; version < 500 && tries < 2'000'000; ++tries) {
    auto loan = slot.loan();
    if (!loan) continue;
    math().fill(x, static_cast<double>(version + 1));
    // As publish_soon() does: beside what comes next.
    const auto pending = math().begin_copy(vector(*loan), x);
    math().fill(x, -7);
    while (pending && !pending->done()) std::this_thread::yield();
    math().finish();
    version = std::move(*loan).publish();
  }
  over = true;
  readers.clear();
  EXPECT_EQ(torn.load(), 0);
  EXPECT_GT(read.load(), 0);
  EXPECT_EQ(slot.version(), 500u);
}

INSTANTIATE_TEST_SUITE_P(Memory, DeviceSlot, testing::Bool(), [](const auto& of) {
  return of.param ? "OfTheDevice" : "OfTheHostMapped";
});

}  // namespace
}  // namespace paceline
