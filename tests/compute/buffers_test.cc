// What becomes of the buffers: training moves them, evaluation reads them, estimate_buffers() makes
// them anew. Against statistics computed here from the images, on every device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "compute/small_program.h"

namespace paceline::test {
namespace {

constexpr std::size_t kChannels = 3, kImages = 5;

/// BatchNorm of the images themselves.
Program first_norm(double momentum = 0.1) {
  return chain({kChannels, 4, 4}, {{BatchNorm{1e-5, momentum}}, {Linear{}, 4}});
}

struct Statistics {
  std::vector<double> mean, variance;  // the variance unbiased
};
Statistics statistics_of(const OwnedBatch& batch) {
  Statistics of{std::vector<double>(kChannels), std::vector<double>(kChannels)};
  const double count = static_cast<double>(batch.images.size() / kChannels);
  for (std::size_t e = 0; e < batch.images.size(); ++e)
    of.mean[e % kChannels] += static_cast<double>(batch.images[e]) / count;
  for (std::size_t e = 0; e < batch.images.size(); ++e) {
    const double away = static_cast<double>(batch.images[e]) - of.mean[e % kChannels];
    of.variance[e % kChannels] += away * away / (count - 1);
  }
  return of;
}
/// (1 - share) buffers + share statistics
void move(std::vector<double>& buffers, const Operation& norm, const Statistics& to, double share) {
  for (std::size_t c = 0; c < kChannels; ++c) {
    double& mean = buffers[norm.running_mean + c];
    double& variance = buffers[norm.running_variance + c];
    mean = (1 - share) * mean + share * to.mean[c];
    variance = (1 - share) * variance + share * to.variance[c];
  }
}
void expect_near(const std::vector<float>& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t e = 0; e < got.size(); ++e)
    EXPECT_NEAR(static_cast<double>(got[e]), wanted[e], 1e-5) << e;
}
std::vector<double> doubles(const std::vector<float>& v) { return {v.begin(), v.end()}; }

class BuffersOn : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Executable> compile(const Program& program, bool training = true) {
    return device->compile(program, {.batch = kImages, .training = training}).value();
  }
  const std::unique_ptr<Device> device = open_device(GetParam(), {}).value();
};
INSTANTIATE_TEST_SUITE_P(Devices, BuffersOn, testing::Values("cpu", "reference"),
                         [](const auto& name) { return std::string(name.param); });

TEST_P(BuffersOn, AStepMovesThemByTheMomentumTowardsTheBatch) {
  for (const double momentum : {0.1, 0.25, 1.0, 0.0}) {
    const Program program = first_norm(momentum);
    const auto executable = compile(program);
    const std::vector<float> x = random_parameters(program, 1);
    std::vector<float> buffers = random_buffers(program, 1), g(x.size());
    std::vector<double> wanted = doubles(buffers);
    for (std::uint64_t step = 0; step < 3; ++step) {
      const OwnedBatch batch = random_batch(program, kImages, step);
      executable->train_step(view(x), view(buffers), view(g), batch.view(), step);
      move(wanted, program.operations[0], statistics_of(batch), momentum);
      expect_near(buffers, wanted);
    }
  }
}

TEST_P(BuffersOn, SharesOfOneHalfAndAThirdEndAtTheMeanOfTheBatches) {
  for (const bool training : {true, false}) {
    const Program program = first_norm();
    const auto executable = compile(program, training);
    const std::vector<float> x = random_parameters(program, 1);
    std::vector<float> buffers = random_buffers(program, 1);
    std::vector<double> mean(buffers.size(), 0.0);
    for (int k = 1; k <= 3; ++k) {
      const OwnedBatch batch = random_batch(program, kImages, static_cast<std::uint64_t>(k));
      executable->estimate_buffers(view(x), view(buffers), batch.view(), 1.0 / k);
      move(mean, program.operations[0], statistics_of(batch), 1.0 / k);
    }
    expect_near(buffers, mean);
  }
}

TEST_P(BuffersOn, EvaluationNormalisesByThemAndLeavesThemAlone) {
  const Program program = first_norm();
  const Operation &norm = program.operations[0], &linear = program.operations[1];
  const std::vector<float> x = random_parameters(program, 1), buffers = random_buffers(program, 1);
  const OwnedBatch batch = random_batch(program, kImages, 1);
  const Shape image = program.activations[0];
  for (const bool training : {true, false}) {
    const auto executable = compile(program, training);
    std::vector<float> read = buffers;
    executable->evaluate(view(x), view(std::as_const(read)), batch.view());
    EXPECT_EQ(read, buffers);
    for (std::size_t n = 0; n < kImages; ++n)
      for (std::size_t o = 0; o < 4; ++o) {
        double logit = static_cast<double>(x[linear.bias + o]);
        for (std::size_t e = 0; e < image.count(); ++e) {
          const std::size_t c = e % kChannels;
          const double variance = static_cast<double>(buffers[norm.running_variance + c]);
          const double away = static_cast<double>(batch.images[n * image.count() + e]) -
                              static_cast<double>(buffers[norm.running_mean + c]);
          logit += static_cast<double>(x[linear.weight + o * image.count() + e]) *
                   (away / std::sqrt(variance + 1e-5) * static_cast<double>(x[norm.weight + c]) +
                    static_cast<double>(x[norm.bias + c]));
        }
        EXPECT_NEAR(static_cast<double>(executable->logits()[n * 4 + o]), logit, 1e-5);
      }
  }
}

TEST_P(BuffersOn, EstimatesWithoutDropout) {
  // Of what a dropout leaves, half would be zero: its variance would be twice as large.
  const Program plain = first_norm();
  const Program dropping = chain({kChannels, 4, 4}, {{Dropout{0.5}}, {BatchNorm{}}, {Linear{}, 4}});
  const std::vector<float> x = random_parameters(plain, 1);
  const OwnedBatch batch = random_batch(plain, kImages, 1);
  std::vector<float> wanted = random_buffers(plain, 1), got = wanted;
  compile(plain)->estimate_buffers(view(x), view(wanted), batch.view(), 0.5);
  compile(dropping)->estimate_buffers(view(x), view(got), batch.view(), 0.5);
  expect_near(got, doubles(wanted));
}

TEST_P(BuffersOn, KeepsTheirPaddingZeroAndWritesNothingPastTheirEnd) {
  const Program program = first_norm();
  const auto executable = compile(program);
  const std::vector<float> x = random_parameters(program, 1);
  std::vector<float> g(x.size()), buffers = random_buffers(program, 1);
  buffers.resize(program.buffer_elements + 16, -7.0f);
  const OwnedBatch batch = random_batch(program, kImages, 1);
  const Operation& norm = program.operations[0];
  executable->train_step(view(x), view(buffers), view(g), batch.view(), 1);
  executable->estimate_buffers(view(x), view(buffers), batch.view(), 0.5);
  for (std::size_t e = 0; e < buffers.size(); ++e) {
    if (e >= program.buffer_elements) {
      EXPECT_EQ(buffers[e], -7.0f) << e;
    } else if (e - norm.running_mean >= kChannels && e - norm.running_variance >= kChannels) {
      EXPECT_EQ(buffers[e], 0.0f) << e;
    }
  }
}

TEST_P(BuffersOn, AreFiniteAgainOnceABatchIs) {
  const Program program = first_norm();
  const auto executable =
      open_device(GetParam(), {}).value()->compile(program, {.batch = 4}).value();
  const std::vector<float> x = random_parameters(program, 1);
  std::vector<float> clean = random_buffers(program, 1), spoilt(clean.size(), std::nanf(""));
  const OwnedBatch batch = random_batch(program, 4, 1);
  executable->estimate_buffers(view(x), view(clean), batch.view(), 1);
  executable->estimate_buffers(view(x), view(spoilt), batch.view(), 0.25);
  const Operation& norm = program.operations[0];
  for (std::size_t c = 0; c < 3; ++c)
    EXPECT_EQ(spoilt[norm.running_mean + c], clean[norm.running_mean + c]);
}

TEST_P(BuffersOn, OneValueAChannelHasNoVariance) {
  const Program program = chain({kChannels, 1, 1}, {{BatchNorm{}}, {Linear{}, 4}});
  const auto executable = device->compile(program, {.batch = 1}).value();
  const std::vector<float> x = random_parameters(program, 1);
  std::vector<float> g(x.size()), buffers = random_buffers(program, 1);
  const OwnedBatch batch = random_batch(program, 1, 1);
  executable->estimate_buffers(view(x), view(buffers), batch.view(), 1.0);
  const Operation& norm = program.operations[0];
  for (std::size_t c = 0; c < kChannels; ++c) {
    EXPECT_NEAR(buffers[norm.running_mean + c], batch.images[c], 1e-6f);
    EXPECT_NEAR(buffers[norm.running_variance + c], 0.0f, 1e-6f);
  }
}

}  // namespace
}  // namespace paceline::test
