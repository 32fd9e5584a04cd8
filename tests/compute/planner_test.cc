// What the CPU's planner decides before anything runs: where memory lies, what runs together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compute/small_program.h"
#include "paceline/compute/cpu/activation_arena_internal.h"
#include "paceline/compute/fusion_internal.h"

namespace paceline::test {
namespace {

using testing::ElementsAre;

class ActivationArenaTest : public testing::Test {
 protected:
  dnnl::memory::desc floats(dnnl::memory::dim count) {
    return {{count}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a};
  }
  /// One step that uses these.
  void step(std::initializer_list<dnnl::memory> used) {
    for (const dnnl::memory& m : used) arena.use(m);
    arena.next_step();
  }
  static std::byte* begin(const dnnl::memory& m) {
    return static_cast<std::byte*>(m.get_data_handle());
  }
  static bool disjoint(const dnnl::memory& a, const dnnl::memory& b) {
    return begin(a) + a.get_desc().get_size() <= begin(b) ||
           begin(b) + b.get_desc().get_size() <= begin(a);
  }
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  ActivationArena arena{engine};
};

TEST_F(ActivationArenaTest, AChainNeedsItsTwoLargestNeighbours) {
  const dnnl::memory a = arena.place(floats(64)), b = arena.place(floats(256)),
                     c = arena.place(floats(128)), d = arena.place(floats(32));
  step({a, b});
  step({b, c});
  step({c, d});
  ASSERT_TRUE(arena.commit().has_value());
  EXPECT_EQ(arena.bytes(), (256 + 128) * sizeof(float));
  EXPECT_TRUE(disjoint(a, b));
  EXPECT_TRUE(disjoint(b, c));
  EXPECT_TRUE(disjoint(c, d));
}

TEST_F(ActivationArenaTest, WhatIsReadLateSharesNothingUntilThen) {
  const dnnl::memory kept = arena.place(floats(16)), a = arena.place(floats(16)),
                     b = arena.place(floats(16));
  step({kept});
  step({a});
  step({b});
  step({kept});
  ASSERT_TRUE(arena.commit().has_value());
  EXPECT_TRUE(disjoint(kept, a));
  EXPECT_TRUE(disjoint(kept, b));
  EXPECT_EQ(begin(a), begin(b));
}

TEST_F(ActivationArenaTest, WhatIsKeptIsReadAfterTheLastStep) {
  const dnnl::memory kept = arena.place(floats(16)), later = arena.place(floats(16));
  arena.keep(kept);
  arena.next_step();
  step({later});
  ASSERT_TRUE(arena.commit().has_value());
  EXPECT_TRUE(disjoint(kept, later));
}

TEST_F(ActivationArenaTest, WhatNoStepUsesTakesNoRoom) {
  arena.place(floats(1024));
  step({arena.place(floats(16))});
  ASSERT_TRUE(arena.commit().has_value());
  EXPECT_EQ(arena.bytes(), 64u);
}

/// convolution, BatchNorm, ReLU | convolution, BatchNorm, + the first ReLU's output, ReLU | linear.
Program block() {
  ProgramSketch sketch({3, 8, 8});
  const std::size_t x =
      sketch.apply_all({{Convolution{3, 1, 1, false}, 16}, {BatchNorm{}}, {Relu{}}}, 0);
  const std::size_t y = sketch.apply_all({{Convolution{3, 1, 1, false}, 16}, {BatchNorm{}}}, x);
  sketch.add(y, x);
  sketch.then({Relu{}});
  sketch.then({Linear{}, 3});
  return sketch.finish();
}

TEST(Fusion, TakesAdditionAndReluAlongWithABatchNorm) {
  const Fusion fusion(block());
  EXPECT_EQ(fusion.operations[1].relu, 2u);  // bn1 + relu
  EXPECT_FALSE(fusion.operations[1].add.has_value());
  EXPECT_EQ(fusion.operations[4].add, 5u);  // bn2 + add + relu
  EXPECT_EQ(fusion.operations[4].relu, 6u);
  EXPECT_EQ(fusion.operations[4].other, 3u);
  EXPECT_EQ(fusion.operations[4].output, 7u);
  std::vector<std::size_t> absorbed;
  for (std::size_t k = 0; k < fusion.operations.size(); ++k)
    if (fusion.operations[k].absorbed) absorbed.push_back(k);
  EXPECT_THAT(absorbed, ElementsAre(2, 5, 6));
}

TEST(Fusion, LeavesAloneWhatSomebodyElseReads) {
  Program program = block();
  program.operations[5].other = 2;  // the sum reads bn1's output, too
  const Fusion fusion(program);
  EXPECT_FALSE(fusion.operations[1].relu.has_value());
}

TEST(Fusion, NeedsNoGradientAtTheImages) {
  const Fusion fusion(block());
  EXPECT_FALSE(fusion.learned[0]);
  EXPECT_TRUE(fusion.learned[1]);
}

}  // namespace
}  // namespace paceline::test
