#include "paceline/compute/cuda/captured_steps_internal.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>

namespace paceline::cuda {
namespace {

/// Addresses that nobody follows.
std::array<float, 64> memory;

GraphKey key_of(std::size_t k) { return {.x = &memory[k]}; }

TEST(CapturedSteps, AKeyIsNewOnceAndKeepsWhatIsCaptured) {
  CapturedSteps<int> steps;
  EXPECT_EQ(steps.find(key_of(0)), nullptr);
  int* const found = steps.find(key_of(0));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(*found, 0) << "nothing is captured yet";
  *found = 7;
  EXPECT_EQ(steps.find(key_of(1)), nullptr);
  EXPECT_EQ(*steps.find(key_of(0)), 7);
  EXPECT_EQ(*steps.find(key_of(1)), 0);
}

TEST(CapturedSteps, WhateverAGraphHasInItTellsKeysApart) {  // CS-1
  const std::array<ElementRange, 2> ranges{{{0, 4}, {8, 2}}}, others{{{0, 4}, {8, 3}}};
  const GraphKey whole{.x = &memory[0],
                       .update = {.x = &memory[0],
                                  .momentum = &memory[1],
                                  .form = Momentum::nesterov,
                                  .undecayed = ranges}};
  const std::function<void(GraphKey&)> changes[] = {
      [](GraphKey& k) { k.x = &memory[9]; },
      [](GraphKey& k) { k.weights = &memory[9]; },
      [](GraphKey& k) { k.g = &memory[9]; },
      [](GraphKey& k) { k.buffers = &memory[9]; },
      [](GraphKey& k) { k.images = &memory[9]; },
      [](GraphKey& k) { k.cuts = &memory[9]; },
      [](GraphKey& k) { k.labels = &memory[9]; },
      [](GraphKey& k) { k.scale = &memory[9]; },
      [](GraphKey& k) { k.shift = &memory[9]; },
      [](GraphKey& k) {
        k.stored = {3, 8, 8};
      },
      [](GraphKey& k) { k.update = {}; },
      [](GraphKey& k) { k.update.momentum = &memory[9]; },
      [](GraphKey& k) { k.update.form = Momentum::heavy_ball; },
      [](GraphKey& k) { k.update.undecayed = {}; },
      [&](GraphKey& k) { k.update.undecayed = std::span(ranges).first(1); },
      [&](GraphKey& k) { k.update.undecayed = others; },
  };
  for (std::size_t i = 0; i < std::size(changes); ++i) {
    CapturedSteps<int> steps;
    steps.find(whole);
    GraphKey other = whole;
    changes[i](other);
    EXPECT_EQ(steps.find(other), nullptr) << "change " << i;
    EXPECT_NE(steps.find(whole), nullptr) << "change " << i;
  }
}

TEST(CapturedSteps, RangesAreComparedByWhatIsInThemAndKept) {  // CS-1
  CapturedSteps<int> steps;
  std::vector<ElementRange> ranges{{0, 4}, {8, 2}};
  const auto key = [&] { return GraphKey{.update = {.x = &memory[0], .undecayed = ranges}}; };
  EXPECT_EQ(steps.find(key()), nullptr);
  const std::vector<ElementRange> same = ranges;
  EXPECT_NE(steps.find({.update = {.x = &memory[0], .undecayed = same}}), nullptr);
  ranges[1].count = 3;  // where the key was found first
  EXPECT_EQ(steps.find(key()), nullptr);
  EXPECT_NE(steps.find({.update = {.x = &memory[0], .undecayed = same}}), nullptr);
}

TEST(CapturedSteps, TheOldestKeyGoesAndTakesItsGraphAlong) {  // CS-2
  constexpr std::size_t kMost = CapturedSteps<std::shared_ptr<int>>::kMost;
  CapturedSteps<std::shared_ptr<int>> steps;
  const auto ranges_of = [](std::size_t k) {
    return std::vector<ElementRange>{{k, 1}, {k + 9, 5}};
  };
  const auto find = [&](std::size_t k) {
    const auto ranges = ranges_of(k);
    GraphKey key = key_of(k);
    key.update = {.x = &memory[k], .undecayed = ranges};
    return steps.find(key);
  };
  std::vector<std::weak_ptr<int>> graphs;
  for (std::size_t k = 0; k < kMost; ++k) {
    EXPECT_EQ(find(k), nullptr);
    const auto graph = std::make_shared<int>(static_cast<int>(k));
    graphs.push_back(graph);
    *find(k) = graph;
  }
  EXPECT_EQ(find(kMost), nullptr);
  EXPECT_TRUE(graphs[0].expired());
  for (std::size_t k = 1; k < kMost; ++k) {  // their ranges have moved along
    ASSERT_NE(find(k), nullptr) << k;
    EXPECT_EQ(**find(k), static_cast<int>(k));
  }
  EXPECT_EQ(find(0), nullptr);
  EXPECT_TRUE(graphs[1].expired());
}

}  // namespace
}  // namespace paceline::cuda
