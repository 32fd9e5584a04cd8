// Convolutions are planned here for a GPU that is described, not there: that cuDNN has plans for
// all that the named networks need is known before anybody rents one.
#include "paceline/compute/cuda/convolution_internal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <set>

#include "paceline/compute/convolution_choice_internal.h"
#include "paceline/compute/cuda/graph_descriptor_internal.h"
#include "paceline/layers/network.h"
#include "temporary_folder.h"

namespace paceline::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

constexpr auto kPasses = {ConvolutionPass::forward, ConvolutionPass::backward_data,
                          ConvolutionPass::backward_weights};

struct Precision {
  const char* name;
  Scalar scalar;
  bool tf32;
  std::size_t channels;  ///< that are stored together
};
constexpr auto kPrecisions = {Precision{"f32", Scalar::f32, false, 4},
                              Precision{"tf32", Scalar::f32, true, 4},
                              Precision{"bf16", Scalar::bf16, false, 8}};

std::string h200() {
  std::ifstream file(PACELINE_H200);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A 3x3 convolution of ResNet-20's.
ConvolutionShape usual() {
  return {.images = 128,
          .in_channels = 16,
          .in_height = 32,
          .in_width = 32,
          .out_channels = 32,
          .kernel = 3,
          .stride = 2,
          .padding = 1,
          .scalar = Scalar::bf16};
}

class ConvolutionPlans : public testing::Test {
 protected:
  void SetUp() override {
    if (GraphDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, "tensor").get() == nullptr)
      GTEST_SKIP() << "cuDNN cannot be used: one of its libraries is missing";
    auto made = make_convolution_planner_for(h200());
    ASSERT_TRUE(made) << made.error().message;
    planner = std::move(made).value();
  }
  /// Of the plans for usual().
  std::vector<std::string> names() {
    const auto plans = planner->plans(usual(), ConvolutionPass::forward, false, 8);
    std::vector<std::string> all;
    for (const auto& plan : plans.value()) all.push_back(plan->name());
    return all;
  }
  std::unique_ptr<ConvolutionPlanner> planner;
};

TEST_F(ConvolutionPlans, SayWhatTheyNeedAndWhoTheyAre) {
  const auto plans = planner->plans(usual(), ConvolutionPass::forward, false, 8);
  ASSERT_TRUE(plans) << plans.error().message;
  EXPECT_EQ(plans.value().size(), 8U);
  for (const auto& plan : plans.value()) {
    EXPECT_THAT(plan->name(), MatchesRegex("eng[0-9]+\\{[-k0-9=,]*\\}"));
    EXPECT_LE(plan->workspace_bytes(), std::size_t{1} << 30);
  }
}

TEST_F(ConvolutionPlans, AreProposedUnderTheSameNamesAgain) {
  const auto first = names();
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), first.size());
  EXPECT_EQ(first, names());
}

TEST_F(ConvolutionPlans, AreDeterministicWhereThatIsWanted) {
  for (const auto& precision : kPrecisions)
    for (const auto pass : kPasses) {
      auto shape = usual();
      shape.scalar = precision.scalar, shape.tf32 = precision.tf32;
      const auto plans = planner->plans(shape, pass, true, 100);
      ASSERT_TRUE(plans) << plans.error().message;
      for (const auto& plan : plans.value()) EXPECT_TRUE(plan->deterministic()) << plan->name();
    }
}

/// Those with tensor cores come first where they may be used.
TEST_F(ConvolutionPlans, OfF32LeaveTensorCoresAlone) {
  auto shape = usual();
  shape.scalar = Scalar::f32;
  const auto f32 = planner->plans(shape, ConvolutionPass::forward, false, 100);
  shape.tf32 = true;
  const auto tf32 = planner->plans(shape, ConvolutionPass::forward, false, 100);
  ASSERT_TRUE(f32 && tf32);
  EXPECT_LT(f32.value().size(), tf32.value().size());
  for (const auto& plan : f32.value()) EXPECT_NE(plan->name(), tf32.value().front()->name());
}

TEST_F(ConvolutionPlans, OfAnImpossibleShapeAreOneClearError) {
  auto shape = usual();
  shape.in_height = shape.in_width = 2, shape.kernel = 5;
  const auto small = planner->plans(shape, ConvolutionPass::backward_data, false, 8);
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().message,
            "conv 5x5/2 pad 1, 128x2x2x16 -> 128x0x0x32, bf16, backward data: the kernel does not "
            "fit into the padded image");

  shape = usual();
  shape.images = std::size_t{1} << 40;  // more elements than cuDNN counts
  const auto large = planner->plans(shape, ConvolutionPass::forward, true, 8);
  ASSERT_FALSE(large);
  EXPECT_THAT(large.error().message,
              AllOf(HasSubstr(describe(shape, ConvolutionPass::forward) + ": cuDNN "),
                    HasSubstr("has no plan that is deterministic"), HasSubstr("CUDNN_STATUS_"),
                    Not(HasSubstr("\n"))));
}

TEST_F(ConvolutionPlans, AreNotChosenWithoutAGpu) {
  const auto plan = planner->choose(usual(), ConvolutionPass::forward, false);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("nothing can be timed on a GPU that is described"));
}

TEST_F(ConvolutionPlans, NeedADescriptionThatCudnnUnderstands) {
  for (const char* const garbage :
       {"", "{}", "[1, 2]", "{\"deviceName\":\"NVIDIA H200\"", "\xff"}) {
    const auto made = make_convolution_planner_for(garbage);
    ASSERT_FALSE(made) << garbage;
    EXPECT_THAT(made.error().message,
                AllOf(HasSubstr("GPU's description"), HasSubstr("CUDNN_STATUS_")));
  }
}

TEST_F(ConvolutionPlans, AreRememberedByTheirNames) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "gpu_convolutions.txt";
  const std::string what = describe(usual(), ConvolutionPass::forward);
  const auto proposed = names();
  std::ofstream(file) << "NVIDIA H200, cuDNN 91900\t" << what << "\teng0{garbage}\n\t\t\n" << what;
  constexpr auto kTiming = ConvolutionChoice::Timing::in_turn;
  {
    ConvolutionChoice choice(file, "NVIDIA H200, cuDNN 91900", kTiming);
    EXPECT_EQ(choice.fastest(what, proposed, [](std::size_t k) { return k == 3 ? 1.0 : 2.0; }),
              proposed[3]);
  }
  ConvolutionChoice again(file, "NVIDIA H200, cuDNN 91900", kTiming);
  EXPECT_EQ(again.remembered(what, proposed), proposed[3]);
  ConvolutionChoice other(file, "NVIDIA H100, cuDNN 91900", kTiming);
  EXPECT_EQ(other.remembered(what, proposed), std::nullopt);
}

TEST(ConvolutionPlanner, DescribesShapeAndPass) {
  auto shape = usual();
  EXPECT_EQ(describe(shape, ConvolutionPass::backward_weights),
            "conv 3x3/2 pad 1, 128x32x32x16 -> 128x16x16x32, bf16, backward weights");
  shape.stride = 1, shape.scalar = Scalar::f32, shape.tf32 = true;
  EXPECT_EQ(describe(shape, ConvolutionPass::forward),
            "conv 3x3 pad 1, 128x32x32x16 -> 128x32x32x32, tf32, forward");
}

TEST(ConvolutionPlanner, NeedsAGpuOrADescription) {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) GTEST_SKIP() << "there is a GPU";
  const auto made = make_convolution_planner("");
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("no GPU to plan convolutions for: "));
}

/// Each named network, as described, in batches of 128.
class NamedNetwork : public ConvolutionPlans, public testing::WithParamInterface<std::string> {
 protected:
  /// What it needs, once each.
  static std::vector<std::pair<ConvolutionShape, ConvolutionPass>> needs(const Network& network,
                                                                         const Precision& p) {
    const auto stored = [&](std::size_t channels) {
      return (channels + p.channels - 1) / p.channels * p.channels;
    };
    std::vector<std::pair<ConvolutionShape, ConvolutionPass>> all;
    for (const auto& operation : network.program().operations) {
      const auto* const convolution = std::get_if<Convolution>(&operation.kind);
      if (convolution == nullptr) continue;
      const Shape& in = network.program().activations[operation.input];
      const Shape& out = network.program().activations[operation.output];
      const ConvolutionShape shape = {.images = 128,
                                      .in_channels = stored(in.channels),
                                      .in_height = in.height,
                                      .in_width = in.width,
                                      .out_channels = stored(out.channels),
                                      .kernel = convolution->kernel,
                                      .stride = convolution->stride,
                                      .padding = convolution->padding,
                                      .scalar = p.scalar,
                                      .tf32 = p.tf32};
      for (const auto pass : kPasses) {
        if (pass == ConvolutionPass::backward_data && operation.input == 0) continue;
        if (std::pair need(shape, pass); std::ranges::find(all, need) == all.end())
          all.push_back(need);
      }
    }
    return all;
  }
};

TEST_P(NamedNetwork, HasPlansForEachConvolutionInEachPassAndPrecision) {
  const auto description = named_network(GetParam()).value();
  const auto network =
      Network::named(GetParam(), description.cropped(description.image), description.classes);
  ASSERT_TRUE(network) << network.error().message;
  for (const auto& precision : kPrecisions) {
    std::size_t planned = 0, offered = 0;
    for (const auto& [shape, pass] : needs(network.value(), precision)) {
      const auto any = planner->plans(shape, pass, false, 8);
      const auto same_bits = planner->plans(shape, pass, true, 1);
      EXPECT_TRUE(any) << any.error().message;
      EXPECT_TRUE(same_bits) << same_bits.error().message;
      ++planned;
      if (any) offered += any.value().size();
    }
    EXPECT_GT(planned, 0U);
    std::printf("%s: %zu convolution passes, %zu plans of at most 8 each\n", precision.name,
                planned, offered);
  }
}

INSTANTIATE_TEST_SUITE_P(All, NamedNetwork, testing::ValuesIn(named_networks()),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace paceline::cuda
