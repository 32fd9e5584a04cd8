// Convolutions on the GPU against plain loops in double precision: every plan that would be timed.
#include "paceline/compute/cuda/convolution_internal.h"

#include <gmock/gmock.h>

#include <array>
#include <fstream>
#include <string>

#include "compute/cuda/gpu_array.h"
#include "temporary_folder.h"

namespace paceline::cuda::test {
namespace {

constexpr auto kPasses = {ConvolutionPass::forward, ConvolutionPass::backward_data,
                          ConvolutionPass::backward_weights};
constexpr std::uint64_t kSeed = 20190;

/// x, w and y of a shape, each N,H,W,C (or O,H,W,I): counts, and the sums of a pass.
class Reference {
 public:
  explicit Reference(const ConvolutionShape& shape) : s_(shape) {}
  std::array<std::size_t, 3> counts() const {
    return {s_.images * s_.in_height * s_.in_width * s_.in_channels,
            s_.out_channels * s_.kernel * s_.kernel * s_.in_channels,
            s_.images * s_.out_height() * s_.out_width() * s_.out_channels};
  }
  /// Which of x, w and y a pass writes.
  static std::size_t written(ConvolutionPass pass) {
    return pass == ConvolutionPass::forward ? 2 : pass == ConvolutionPass::backward_data ? 0 : 1;
  }
  /// Every product of the pass, added to where it belongs.
  std::vector<Sum> sums(ConvolutionPass pass, const std::array<std::vector<float>, 3>& t) const {
    const std::size_t target = written(pass), a = target == 0 ? 1 : 0, b = target == 2 ? 1 : 2;
    std::vector<Sum> sums(counts()[target]);
    for (std::size_t n = 0; n < s_.images; ++n)
      for (std::size_t p = 0; p < s_.out_height(); ++p)
        for (std::size_t q = 0; q < s_.out_width(); ++q)
          for (std::size_t r = 0; r < s_.kernel; ++r)
            for (std::size_t c = 0; c < s_.kernel; ++c) {
              const std::size_t h = p * s_.stride + r - s_.padding;  // wraps above the image
              const std::size_t w = q * s_.stride + c - s_.padding;
              if (h >= s_.in_height || w >= s_.in_width) continue;
              for (std::size_t o = 0; o < s_.out_channels; ++o)
                for (std::size_t i = 0; i < s_.in_channels; ++i) {
                  const std::array<std::size_t, 3> at = {
                      ((n * s_.in_height + h) * s_.in_width + w) * s_.in_channels + i,
                      ((o * s_.kernel + r) * s_.kernel + c) * s_.in_channels + i,
                      ((n * s_.out_height() + p) * s_.out_width() + q) * s_.out_channels + o};
                  sums[at[target]].add(t[a][at[a]], t[b][at[b]]);
                }
            }
    return sums;
  }

 private:
  ConvolutionShape s_;
};

/// The plain loops themselves: <y, forward> = <x, backward_data> = <w, backward_weights>.
TEST(ConvolutionReference, IsOneTrilinearFormInAllPasses) {
  Rng rng(kSeed);
  const ConvolutionShape shape = {.images = 2,
                                  .in_channels = 3,
                                  .in_height = 5,
                                  .in_width = 7,
                                  .out_channels = 4,
                                  .kernel = 3,
                                  .stride = 2,
                                  .padding = 1};
  const Reference reference(shape);
  std::array<std::vector<float>, 3> tensors;
  for (std::size_t i = 0; i < 3; ++i)
    tensors[i] = normal_numbers(rng, reference.counts()[i], Scalar::f32);
  std::vector<double> forms;
  for (const auto pass : kPasses) {
    const auto sums = reference.sums(pass, tensors);
    double form = 0;
    for (std::size_t i = 0; i < sums.size(); ++i)
      form += sums[i].value * tensors[Reference::written(pass)][i];
    forms.push_back(form);
  }
  EXPECT_NE(forms[0], 0);
  EXPECT_NEAR(forms[1], forms[0], 1e-9);
  EXPECT_NEAR(forms[2], forms[0], 1e-9);
}

std::vector<ConvolutionShape> random_shapes(Rng& rng, std::size_t count) {
  std::vector<ConvolutionShape> shapes;
  while (shapes.size() < count) {
    ConvolutionShape shape = {.images = 1 + rng.below(5),
                              .in_channels = 8 * (1 + rng.below(4)),
                              .in_height = 3 + rng.below(9),
                              .in_width = 3 + rng.below(9),
                              .out_channels = 8 * (1 + rng.below(4)),
                              .kernel = std::array<std::size_t, 3>{1, 3, 5}[rng.below(3)],
                              .stride = 1 + rng.below(2)};
    shape.padding = rng.below(shape.kernel / 2 + 1);
    if (std::min(shape.in_height, shape.in_width) + 2 * shape.padding >= shape.kernel)
      shapes.push_back(shape);
  }
  return shapes;
}

class ConvolutionOnTheGpu : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    auto made = make_convolution_planner((folder.path() / "gpu_convolutions.txt").string());
    ASSERT_TRUE(made) << made.error().message;
    planner = std::move(made).value();
  }
  /// What the plan makes of x, w and y, of which it overwrites one.
  std::vector<float> run(ConvolutionPlan& plan, const ConvolutionShape& shape, ConvolutionPass pass,
                         const std::array<std::vector<float>, 3>& tensors) {
    const GpuArray x(tensors[0], shape.scalar), w(tensors[1], shape.scalar),
        y(tensors[2], shape.scalar), workspace((plan.workspace_bytes() + 3) / 4, Scalar::f32);
    const std::array<const GpuArray*, 3> arrays = {&x, &w, &y};
    const std::size_t target = Reference::written(pass);
    check(cudaMemset(arrays[target]->get(), 0xff, tensors[target].size() * bytes_of(shape.scalar)),
          "cudaMemset");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    plan.run(stream, x.get(), w.get(), y.get(), workspace.get());
    return arrays[target]->values();
  }
  void agrees(Scalar scalar, bool tf32) {
    Rng rng(kSeed);
    for (ConvolutionShape shape : random_shapes(rng, 12)) {
      shape.scalar = scalar, shape.tf32 = tf32;
      const Reference reference(shape);
      std::array<std::vector<float>, 3> tensors;
      for (std::size_t i = 0; i < 3; ++i)
        tensors[i] = normal_numbers(rng, reference.counts()[i], scalar);
      for (const auto pass : kPasses) {
        const auto expected = reference.sums(pass, tensors);
        const auto plans = planner->plans(shape, pass, false, 8);
        ASSERT_TRUE(plans) << plans.error().message;
        for (const auto& plan : plans.value()) {
          SCOPED_TRACE(describe(shape, pass) + ", seed " + std::to_string(kSeed) + ", " +
                       plan->name());
          expect_sums(run(*plan, shape, pass, tensors), expected, scalar, tf32);
        }
      }
    }
  }
  /// Ones in x, y and w, but for the factor `a` of all in x.
  std::array<std::vector<float>, 3> ones_but(const ConvolutionShape& shape, float a) {
    const auto counts = Reference(shape).counts();
    return {std::vector<float>(counts[0], a), std::vector<float>(counts[1], 1),
            std::vector<float>(counts[2], 1)};
  }

  const ConvolutionShape small{.images = 16,
                               .in_channels = 16,
                               .in_height = 8,
                               .in_width = 8,
                               .out_channels = 16,
                               .padding = 1};
  TemporaryFolder folder;
  std::unique_ptr<ConvolutionPlanner> planner;
};

TEST_F(ConvolutionOnTheGpu, AgreesWithThePlainLoopsInF32) { agrees(Scalar::f32, false); }
TEST_F(ConvolutionOnTheGpu, AgreesWithThePlainLoopsInTf32) { agrees(Scalar::f32, true); }
TEST_F(ConvolutionOnTheGpu, AgreesWithThePlainLoopsInBf16) { agrees(Scalar::bf16, false); }

/// 1 + 2^-12 is 1 in tf32. All sums are exact in f32.
TEST_F(ConvolutionOnTheGpu, KeepsAllBitsOfF32) {
  auto shape = small;
  shape.padding = 0;
  const auto tensors = ones_but(shape, 1 + 0x1p-12F);
  const auto plans = planner->plans(shape, ConvolutionPass::forward, false, 100);
  ASSERT_TRUE(plans) << plans.error().message;
  for (const auto& plan : plans.value())
    for (const float y : run(*plan, shape, ConvolutionPass::forward, tensors))
      ASSERT_NEAR(y, 144 + 144 * 0x1p-12, 144 * 0x1p-16) << plan->name();
}

TEST_F(ConvolutionOnTheGpu, GivesTheSameBitsWhereThatIsWanted) {
  Rng rng(kSeed);
  for (const Scalar scalar : {Scalar::f32, Scalar::bf16})
    for (const auto pass : kPasses) {
      auto shape = small;
      shape.scalar = scalar;
      std::array<std::vector<float>, 3> tensors;
      for (std::size_t i = 0; i < 3; ++i)
        tensors[i] = normal_numbers(rng, Reference(shape).counts()[i], scalar);
      const auto plan = planner->choose(shape, pass, true);
      ASSERT_TRUE(plan) << plan.error().message;
      EXPECT_TRUE(plan.value()->deterministic());
      const auto first = run(*plan.value(), shape, pass, tensors);
      for (int i = 0; i < 20; ++i) ASSERT_EQ(run(*plan.value(), shape, pass, tensors), first);
    }
}

TEST_F(ConvolutionOnTheGpu, IsChosenOnceAndRememberedForAllPlanners) {
  const std::string file = (folder.path() / "gpu_convolutions.txt").string();
  const auto first = planner->choose(small, ConvolutionPass::forward, false);
  ASSERT_TRUE(first) << first.error().message;
  std::string line;
  std::ifstream lines(file);
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_THAT(line, testing::HasSubstr(first.value()->name()));
  EXPECT_THAT(line, testing::HasSubstr(describe(small, ConvolutionPass::forward)));

  auto other = make_convolution_planner(file);
  ASSERT_TRUE(other) << other.error().message;
  const auto second = other.value()->choose(small, ConvolutionPass::forward, false);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second.value()->name(), first.value()->name());
  EXPECT_FALSE(std::getline(lines, line)) << "timed twice: " << line;
}

/// A captured step runs on the memory that it was captured with.
TEST_F(ConvolutionOnTheGpu, IsCapturedAndReplayed) {
  const auto tensors = ones_but(small, 1);
  const auto plan = planner->choose(small, ConvolutionPass::forward, false);
  ASSERT_TRUE(plan) << plan.error().message;
  const auto expected = run(*plan.value(), small, ConvolutionPass::forward, tensors);
  const GpuArray x(tensors[0], small.scalar), w(tensors[1], small.scalar),
      workspace((plan.value()->workspace_bytes() + 3) / 4, Scalar::f32);
  GpuArray y(tensors[2].size(), small.scalar);
  cudaGraph_t graph = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  plan.value()->run(stream, x.get(), w.get(), y.get(), workspace.get());
  check(cudaStreamEndCapture(stream, &graph), "capture");
  cudaGraphExec_t replay = nullptr;
  check(cudaGraphInstantiate(&replay, graph, 0), "instantiate");
  for (int i = 0; i < 3; ++i) {
    y.poison();
    check(cudaGraphLaunch(replay, stream), "launch");
    EXPECT_EQ(y.values(), expected);
  }
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
}

}  // namespace
}  // namespace paceline::cuda::test
