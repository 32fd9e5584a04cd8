// Every operation of the table: the CPU against the reference, the reference against central finite
// differences. Tolerances are relative to the largest element of what is compared; the CPU's grow
// by what a last bit of the parameters makes of the row (a BatchNorm of small variance enlarges it).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "compute/operation_table.h"
#include "compute/small_program.h"
#include "paceline/compute/random.h"
#include "test_seed.h"

namespace paceline::test {
namespace {

constexpr std::uint64_t kStep = 7;  // the seed of the dropout masks

/// Of the random shapes: 0 unless given. Read before the tests have names, so that each keeps its own.
std::uint64_t table_seed() { return given_test_seed().value_or(0); }

float largest(std::span<const float> values) {
  float most = 0;
  for (const float v : values) most = std::max(most, std::abs(v));
  return most;
}
/// The largest distance between elements of the same place.
float distance(std::span<const float> a, std::span<const float> b) {
  float most = 0;
  for (std::size_t e = 0; e < a.size(); ++e) most = std::max(most, std::abs(a[e] - b[e]));
  return most;
}
/// @param nearby  what the reference makes of nudged(x): where that is far from `wanted`, single
///                precision cannot be near
void expect_close(std::span<const float> got, std::span<const float> wanted,
                  std::span<const float> nearby, float relative, const std::string& what) {
  ASSERT_EQ(got.size(), wanted.size());
  const float tolerance = relative * largest(wanted) + 4 * distance(wanted, nearby) + 1e-7f;
  for (std::size_t e = 0; e < got.size(); ++e)
    ASSERT_NEAR(got[e], wanted[e], tolerance) << what << ", element " << e;
}

/// Each parameter one step of single precision up or down.
std::vector<float> nudged(std::vector<float> x) {
  Rng rng(19);
  for (float& value : x)
    if (value != 0) value = std::nextafter(value, rng.below(2) != 0 ? 1e9f : -1e9f);
  return x;
}

/// A program on a device, with what one training step left.
struct Trained {
  Trained(const char* device_name, const Program& program, const std::vector<float>& x,
          const OwnedBatch& batch, const std::string& convolution = {})
      : device(open_device(device_name, {.convolution = convolution}).value()),
        executable(device->compile(program, {.batch = batch.labels.size()}).value()),
        buffers(random_buffers(program, 13)),
        gradient(x.size(), std::nanf("")) {
    loss = executable->train_step(view(x), view(buffers), view(gradient), batch.view(), kStep);
    logits.assign(executable->logits().begin(), executable->logits().end());
  }
  std::unique_ptr<Device> device;
  std::unique_ptr<Executable> executable;
  std::vector<float> buffers, gradient, logits;
  double loss = 0;
};

class OperationTable : public testing::TestWithParam<Row> {
 protected:
  void SetUp() override {
    std::printf("%s, batch %zu, seed %llu\n", describe(program).c_str(), GetParam().batch,
                static_cast<unsigned long long>(table_seed()));
  }
  const Program& program = GetParam().program;
  const std::vector<float> x = random_parameters(program, 11), x_nearby = nudged(x);
  const OwnedBatch batch = random_batch(program, GetParam().batch, 5);
};

TEST_P(OperationTable, TrainsLikeTheReference) {
  const Trained cpu("cpu", program, x, batch), reference("reference", program, x, batch);
  const Trained nearby("reference", program, x_nearby, batch);
  EXPECT_NEAR(cpu.loss, reference.loss,
              1e-5 * std::max(1.0, reference.loss) + 4 * std::abs(nearby.loss - reference.loss));
  expect_close(cpu.logits, reference.logits, nearby.logits, 1e-5f, "logits");
  expect_close(cpu.gradient, reference.gradient, nearby.gradient, 3e-5f, "gradient");
  expect_close(cpu.buffers, reference.buffers, nearby.buffers, 1e-5f, "buffers");
}

TEST_P(OperationTable, TrainsLikeTheReferenceByEachConvolutionAlgorithm) {
  const Trained reference("reference", program, x, batch);
  const Trained nearby("reference", program, x_nearby, batch);
  for (const char* algorithm : {"winograd", "mirrored"}) {
    const Trained cpu("cpu", program, x, batch, algorithm);
    expect_close(cpu.logits, reference.logits, nearby.logits, 1e-5f, algorithm);
    expect_close(cpu.gradient, reference.gradient, nearby.gradient, 3e-5f, algorithm);
    const auto to_evaluate =
        cpu.device->compile(program, {.batch = batch.labels.size(), .training = false});
    EXPECT_TRUE(to_evaluate.has_value()) << to_evaluate.error().message;
  }
}

TEST_P(OperationTable, EvaluatesLikeTheReference) {
  const std::vector<float> buffers = random_buffers(program, 17);
  for (const bool training : {true, false}) {
    std::vector<std::vector<float>> logits;
    std::vector<Evaluation> counts;
    for (const char* name : {"cpu", "reference"}) {
      const auto device = open_device(name, {}).value();
      const auto executable =
          device->compile(program, {.batch = GetParam().batch, .training = training}).value();
      counts.push_back(executable->evaluate(view(x), view(buffers), batch.view()));
      logits.emplace_back(executable->logits().begin(), executable->logits().end());
    }
    expect_close(logits[0], logits[1], logits[1], 1e-5f, "logits");
    EXPECT_NEAR(counts[0].loss_sum, counts[1].loss_sum, 1e-5 * std::max(1.0, counts[1].loss_sum));
    EXPECT_EQ(counts[0].errors, counts[1].errors);
    EXPECT_EQ(counts[0].images, batch.labels.size());
  }
}

TEST_P(OperationTable, EstimatesBuffersLikeTheReference) {
  const OwnedBatch second = random_batch(program, GetParam().batch, 6);
  for (const bool training : {true, false}) {
    const auto estimated = [&](const char* name, const std::vector<float>& at) {
      const auto device = open_device(name, {}).value();
      const auto executable =
          device->compile(program, {.batch = GetParam().batch, .training = training}).value();
      std::vector<float> buffers = random_buffers(program, 17);
      executable->estimate_buffers(view(at), view(buffers), batch.view(), 1.0);
      executable->estimate_buffers(view(at), view(buffers), second.view(), 0.5);
      return buffers;
    };
    expect_close(estimated("cpu", x), estimated("reference", x), estimated("reference", x_nearby),
                 1e-5f, "buffers");
  }
}

TEST_P(OperationTable, ReferenceGradientIsTheLossesSlope) {
  const Trained trained("reference", program, x, batch);
  std::vector<float> unused(x.size()), buffers = trained.buffers;
  const auto loss_at = [&](std::size_t e, float value) {
    std::vector<float> moved = x;
    moved[e] = value;
    return trained.executable->train_step(view(moved), view(buffers), view(unused), batch.view(),
                                          kStep);
  };
  const auto slope = [&](std::size_t e, float below, float above) {
    const float low = x[e] - below, high = x[e] + above;
    return (loss_at(e, high) - loss_at(e, low)) /
           (static_cast<double>(high) - static_cast<double>(low));
  };
  std::vector<std::size_t> parameters;  // without padding
  for (std::size_t e = 0; e < x.size(); ++e)
    if (x[e] != 0) parameters.push_back(e);
  Rng rng(3);
  int checked = 0, kinks = 0;
  const float most = largest(trained.gradient);
  for (int draw = 0; draw < 16; ++draw) {
    const std::size_t e = parameters[rng.below(parameters.size())];
    // A ReLU or a maximum that changes sides within h is no place to measure a slope: wide and
    // narrow differ, or, where it does so at x itself, left and right.
    const float h = 1e-5f;
    const double wide = slope(e, 2 * h, 2 * h), narrow = slope(e, h, h);
    if (std::abs(wide - narrow) > 1e-4 * most ||
        std::abs(slope(e, h, 0) - slope(e, 0, h)) > 4e-4 * most) {
      ++kinks;
      continue;
    }
    ++checked;
    ASSERT_NEAR(trained.gradient[e], narrow, 2e-4 * most + 1e-9) << "parameter " << e;
  }
  EXPECT_GT(checked, kinks);
}

const auto row_name = [](const auto& row) { return row.param.name; };
INSTANTIATE_TEST_SUITE_P(Rows, OperationTable, testing::ValuesIn(operation_table(table_seed())),
                         row_name);

// What continuous random data does not reach: ties and exact zeros, on both devices.

class EachDevice : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Devices, EachDevice, testing::Values("cpu", "reference"),
                         [](const auto& name) { return std::string(name.param); });

TEST_P(EachDevice, MaxPoolGivesTheGradientToTheFirstOfEquals) {
  // Two input channels: the first makes the pooled values (all equal), the second has no weight but
  // marks the position, so its weight's gradient tells who took the gradient.
  const Program program =
      chain({2, 2, 2}, {{Convolution{1, 1, 0}, 1}, {MaxPool{2, 2}}, {Linear{}, 2}});
  std::vector<float> x(program.parameter_elements, 0.0f);
  x[program.operations[0].weight] = 1;
  x[program.operations[2].weight] = 1;  // the first class sees the pooled value
  OwnedBatch batch;
  for (const float position : {1.0f, 2.0f, 3.0f, 4.0f})
    batch.images.insert(batch.images.end(), {5.0f, position});
  batch.labels = {0};
  const Trained trained(GetParam(), program, x, batch);
  const float to_value = trained.gradient[program.operations[0].weight];
  const float to_position = trained.gradient[program.operations[0].weight + 1];
  ASSERT_NE(to_value, 0.0f);
  EXPECT_NEAR(to_position / (to_value / 5), 1.0f, 1e-5f);
}

TEST_P(EachDevice, ReluHasNoGradientAtZero) {
  const Program program = chain({3, 4, 4}, {{Convolution{3, 1, 1}, 8}, {Relu{}}, {Linear{}, 2}});
  std::vector<float> x = random_parameters(program, 1);
  const std::size_t linear = program.operations[2].weight;
  std::fill_n(x.begin(), linear, 0.0f);  // the ReLU sees exact zeros
  const Trained trained(GetParam(), program, x, random_batch(program, 2, 1));
  EXPECT_THAT(std::span(trained.gradient).first(linear), testing::Each(0.0f));
}

TEST_P(EachDevice, DropoutDropsItsShareAndScalesTheRest) {
  // Identity weights would be large; ones on one output sum up what passes instead.
  const std::size_t width = 20'000;
  const Program program = chain({width, 1, 1}, {{Dropout{0.3}}, {Linear{}, 2}});
  std::vector<float> x(program.parameter_elements, 0.0f);
  std::fill_n(x.begin(), width, 1.0f);
  OwnedBatch batch{std::vector<float>(width, 1.0f), {0}};
  const Trained trained(GetParam(), program, x, batch);
  const double kept = trained.logits[0] * 0.7 / static_cast<double>(width);
  EXPECT_NEAR(kept, 0.7, 6 * std::sqrt(0.3 * 0.7 / width));
  trained.executable->evaluate(view(x), {}, batch.view());
  EXPECT_NEAR(trained.executable->logits()[0], width, 1e-3 * width);
}

TEST_P(EachDevice, RefusesAProgramThatDoesNotHangTogether) {
  const auto device = open_device(GetParam(), {}).value();
  Program program = chain({3, 8, 8}, {{Convolution{3, 1, 0}, 4}, {Linear{}, 3}});
  EXPECT_FALSE(device->compile(program, {.batch = 0}).has_value());
  program.activations[1].height = 7;
  const auto compiled = device->compile(program, {.batch = 2});
  ASSERT_FALSE(compiled.has_value());
  EXPECT_THAT(compiled.error().message, testing::HasSubstr("\"op0\" does not make 4x7x6 of 3x8x8"));
}

}  // namespace
}  // namespace paceline::test
