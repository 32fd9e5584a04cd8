// What the GPU will run, planned without one: which operations run as one, what lies where, which
// gradients are added. Plans of convolutions and linear layers are told by name alone here;
// convolution_plan_test has cuDNN's own.
#include "paceline/compute/cuda/plan_internal.h"

#include <gmock/gmock.h>

#include <map>

#include "compute/small_program.h"
#include "paceline/layers/network.h"

namespace paceline::cuda {
namespace {

using test::Link;
using test::ProgramSketch;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// Stands for one of cuDNN's: never run here.
class NamedPlan final : public ConvolutionPlan {
 public:
  explicit NamedPlan(std::string name) : name_(std::move(name)) {}
  std::size_t workspace_bytes() const override { return 4096; }
  bool deterministic() const override { return true; }
  std::string name() const override { return name_; }
  void run(cudaStream_t, void*, void*, void*, void*) override { FAIL() << "run without a GPU"; }

 private:
  const std::string name_;
};
class NoLinear final : public paceline::cuda::Linear {
 public:
  explicit NoLinear(bool applies_bias) : applies_bias_(applies_bias) {}
  bool applies_bias() const override { return applies_bias_; }
  std::size_t workspace_bytes() const override { return 1024; }
  void forward(cudaStream_t, const void*, const void*, const float*, void*, void*) override {}
  void backward_data(cudaStream_t, const void*, const void*, void*, void*) override {}
  void backward_weights(cudaStream_t, const void*, const void*, void*, void*) override {}

 private:
  const bool applies_bias_;
};

struct Planned {
  std::unique_ptr<Plan> plan;
  std::vector<std::pair<ConvolutionShape, ConvolutionPass>> convolutions;
  std::vector<LinearShape> linears;

  std::vector<std::string> words(const std::vector<PlannedStep>& steps) const {
    std::vector<std::string> all;
    for (const PlannedStep& step : steps) all.push_back(step.cost.name + ": " + step.cost.how);
    return all;
  }
};

Planned plan(const Program& program, Precision precision, const CompileOptions& options = {}) {
  Planned planned;
  const PlanMakers makers{
      .convolution = [&](const ConvolutionShape& shape,
                         ConvolutionPass pass) -> Result<std::unique_ptr<ConvolutionPlan>> {
        planned.convolutions.emplace_back(shape, pass);
        return std::make_unique<NamedPlan>("convolution");
      },
      .linear = [&](const LinearShape& shape) -> Result<std::unique_ptr<Linear>> {
        planned.linears.push_back(shape);
        return std::make_unique<NoLinear>(shape.scalar == Scalar::f32);
      }};
  auto made = make_plan(program, options, precision, makers);
  EXPECT_TRUE(made) << made.error().message;
  if (made) planned.plan = std::move(made).value();
  return planned;
}

Program network(const char* name, Shape image = {3, 32, 32}) {
  return Network::named(name, image, 10).value().program();
}

TEST(GpuPlan, BatchNormTakesAdditionsAndReluAlong) {
  const Planned resnet = plan(network("resnet20"), Precision::bf16);
  const auto forward = resnet.words(resnet.plan->forward);
  std::map<std::string, int> count;
  for (const PlannedStep& step : resnet.plan->forward) ++count[step.cost.how];
  EXPECT_EQ(count["convolution"], 19);
  EXPECT_EQ(count["normalise + relu"], 10);
  // Where the shortcut is computed behind the second BatchNorm, that cannot take the addition along.
  EXPECT_EQ(count["normalise + add + relu"], 7);
  EXPECT_EQ(count["shortcut"], 2);
  EXPECT_EQ(count["add + relu"], 2);
  EXPECT_EQ(count["relu"] + count["add"], 0);
  EXPECT_THAT(forward, Contains("conv1: fill weights")) << "3 channels lie as 8";
  EXPECT_THAT(forward, Not(Contains(HasSubstr("fill channels"))));
}

TEST(GpuPlan, BlocksGradientsAreAddedOnce) {
  const Planned resnet = plan(network("resnet20"), Precision::f32);
  std::map<std::string, int> count;
  for (const PlannedStep& step : resnet.plan->backward) ++count[step.cost.how];
  // A block's input is read by its first convolution and by its shortcut: nine sums.
  EXPECT_EQ(count["add"], 9);
  EXPECT_EQ(count["normalise + add + mask"], 7);
  EXPECT_EQ(count["normalise + mask"], 10);
  int data = 0, weights = 0;
  for (const auto& [shape, pass] : resnet.convolutions) {
    data += pass == ConvolutionPass::backward_data;
    weights += pass == ConvolutionPass::backward_weights;
  }
  EXPECT_EQ(weights, 19);
  EXPECT_EQ(data, 18) << "nobody wants the gradient of the images";
}

TEST(GpuPlan, MemoryIsSharedByWhatIsNeverLiveAtOnce) {
  const Planned resnet = plan(network("resnet20"), Precision::bf16);
  EXPECT_LT(3 * resnet.plan->placement.bytes, 2 * resnet.plan->unshared_bytes);
  const Planned test = plan(network("resnet20"), Precision::bf16, {.training = false});
  EXPECT_LT(4 * test.plan->placement.bytes, resnet.plan->placement.bytes);
  EXPECT_TRUE(test.plan->backward.empty());
  EXPECT_FALSE(test.plan->loss.run);
}

TEST(GpuPlan, HalfTheBytesInSixteenBits) {
  const Planned f32 = plan(network("vgg16"), Precision::f32),
                bf16 = plan(network("vgg16"), Precision::bf16);
  EXPECT_LT(bf16.plan->unshared_bytes, 0.6 * static_cast<double>(f32.plan->unshared_bytes));
  EXPECT_TRUE(plan(network("vgg16"), Precision::tf32).convolutions.front().first.tf32);
  EXPECT_FALSE(f32.convolutions.front().first.tf32);
}

TEST(GpuPlan, OddChannelsAreFilledUpAroundTheConvolutionAlone) {
  // 5 -> 6 -> 5 channels behind a ReLU that keeps the input from lying filled up.
  const Program odd = test::chain({5, 6, 7}, {{Relu{}},
                                              {Convolution{3, 1, 1, true}, 6},
                                              {Relu{}},
                                              {Convolution{3, 2, 0, false}, 5},
                                              {paceline::Linear{}, 4}});
  const Planned planned = plan(odd, Precision::bf16, {.batch = 2});
  ASSERT_TRUE(planned.plan);
  for (const auto& [shape, pass] : planned.convolutions) {
    EXPECT_EQ(shape.in_channels, 8u);
    EXPECT_EQ(shape.out_channels, 8u);
  }
  EXPECT_THAT(planned.words(planned.plan->forward),
              ElementsAre("input: cut or convert", "op0: relu", "op1: fill channels",
                          "op1: fill weights", "op1: convolution", "op1: cut channels",
                          "op1: bias + relu", "op3: fill channels", "op3: fill weights",
                          "op3: convolution", "op3: cut channels", "op4: cublasLt", "op4: bias"))
      << test::describe(odd);
}

TEST(GpuPlan, PaddingOfTheGradientIsKnown) {
  const Program program = network("lenet", {1, 28, 28});
  const Planned lenet = plan(program, Precision::f32);
  std::size_t covered = 0, gaps = 0;
  for (const Operation& op : program.operations) {
    const ParameterCounts counts =
        parameter_counts(op.kind, program.activations[op.input], program.activations[op.output]);
    covered += counts.weight + counts.bias;
  }
  for (const Gap& gap : lenet.plan->gaps) gaps += gap.last - gap.first;
  EXPECT_EQ(covered + gaps, program.parameter_elements);
}

TEST(GpuPlan, WhatCudnnRefusesIsNamedByItsLayer) {
  const PlanMakers makers{
      .convolution = [](const ConvolutionShape&,
                        ConvolutionPass) -> Result<std::unique_ptr<ConvolutionPlan>> {
        return fail(std::errc::not_supported, "cuDNN has no plan");
      },
      .linear = [](const LinearShape&) -> Result<std::unique_ptr<Linear>> {
        return std::make_unique<NoLinear>(true);
      }};
  const auto made = make_plan(network("resnet20"), {}, Precision::bf16, makers);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message, "conv1: cuDNN has no plan");
}

TEST(GpuPlan, OfEveryNamedNetworkIsMade) {
  for (const std::string& name : named_networks()) {
    const Shape image = named_network(name).value().image;
    const Program program = network(name.c_str(), image);
    for (const Precision precision : {Precision::f32, Precision::bf16})
      EXPECT_TRUE(plan(program, precision, {.batch = 8}).plan) << name;
  }
}

}  // namespace
}  // namespace paceline::cuda
