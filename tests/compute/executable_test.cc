// What every Executable promises besides the right numbers: the same bits, a gradient that leaves
// no padding unwritten, honest counts, and the cores it was given.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>
#include <thread>

#include "compute/small_program.h"

namespace paceline::test {
namespace {

Program small_net() {
  return chain({3, 12, 12}, {{Convolution{3, 1, 1}, 20},
                             {Relu{}},
                             {MaxPool{}},
                             {Convolution{3, 1, 0}, 24},
                             {Relu{}},
                             {Linear{}, 30},
                             {Relu{}},
                             {Dropout{0.5}},
                             {Linear{}, 5}});
}

/// A training run of a few steps; returns its gradient after each.
std::vector<std::vector<float>> run(const char* device_name, const Program& program, int steps,
                                    unsigned threads = 1, std::size_t images = 8) {
  const auto device = open_device(device_name, {.threads = threads}).value();
  const auto executable = device->compile(program, {.batch = images}).value();
  std::vector<float> x = random_parameters(program, 1), m(x.size()), g(x.size());
  std::vector<std::vector<float>> gradients;
  for (int step = 0; step < steps; ++step) {
    const OwnedBatch batch = random_batch(program, images, static_cast<std::uint64_t>(step));
    executable->train_step({x.data(), x.size()}, {}, {g.data(), g.size()}, batch.view(),
                           static_cast<std::uint64_t>(step));
    device->math().update({.learning_rate = 0.05}, {x.data(), x.size()}, {m.data(), m.size()},
                          {g.data(), g.size()}, {});
    gradients.push_back(g);
  }
  return gradients;
}

class ExecutableOn : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Devices, ExecutableOn, testing::Values("cpu", "reference"),
                         [](const auto& name) { return std::string(name.param); });

TEST_P(ExecutableOn, SameSeedGivesTheSameBits) {
  EXPECT_EQ(run(GetParam(), small_net(), 3), run(GetParam(), small_net(), 3));
}

TEST_P(ExecutableOn, AnotherSeedDropsOtherElements) {
  const Program program = small_net();
  const auto device = open_device(GetParam(), {}).value();
  const auto executable = device->compile(program, {.batch = 4}).value();
  const std::vector<float> x = random_parameters(program, 1);
  const OwnedBatch batch = random_batch(program, 4, 1);
  std::vector<float> g(x.size());
  const auto loss = [&](std::uint64_t seed) {
    return executable->train_step({x.data(), x.size()}, {}, {g.data(), g.size()}, batch.view(),
                                  seed);
  };
  const double first = loss(1), second = loss(2);
  EXPECT_NE(first, second);
  EXPECT_EQ(first, loss(1));
}

TEST_P(ExecutableOn, WritesThePaddingOfTheGradientAsZero) {
  const Program program = small_net();
  const auto device = open_device(GetParam(), {}).value();
  const auto executable = device->compile(program, {.batch = 2}).value();
  const std::vector<float> x = random_parameters(program, 1);
  std::vector<float> g(x.size() + 16, std::nanf(""));
  executable->train_step({x.data(), x.size()}, {}, {g.data(), g.size()},
                         random_batch(program, 2, 1).view(), 1);
  std::vector<bool> tensor(x.size(), false);
  for (const Operation& op : program.operations) {
    const ParameterCounts counts =
        parameter_counts(op.kind, program.activations[op.input], program.activations[op.output]);
    std::fill_n(tensor.begin() + static_cast<std::ptrdiff_t>(op.weight), counts.weight, true);
    std::fill_n(tensor.begin() + static_cast<std::ptrdiff_t>(op.bias), counts.bias, true);
  }
  std::size_t padding = 0;
  for (std::size_t e = 0; e < x.size(); ++e) {
    ASSERT_TRUE(std::isfinite(g[e])) << e;
    if (tensor[e]) continue;
    ++padding;
    ASSERT_EQ(g[e], 0.0f) << e;
  }
  EXPECT_GT(padding, 0u);
  for (std::size_t e = x.size(); e < g.size(); ++e) EXPECT_TRUE(std::isnan(g[e])) << "past P";
}

TEST_P(ExecutableOn, CountsATieForTheFirstClass) {
  const Program program = chain({2, 1, 1}, {{Linear{}, 4}});
  const auto device = open_device(GetParam(), {}).value();
  const auto executable = device->compile(program, {.batch = 4, .training = false}).value();
  const std::vector<float> x(program.parameter_elements, 0.0f);  // all logits equal
  const OwnedBatch batch{std::vector<float>(8, 1.0f), {0, 1, 2, 0}};
  const Evaluation counts = executable->evaluate({x.data(), x.size()}, {}, batch.view());
  EXPECT_EQ(counts.errors, 2u);
  EXPECT_EQ(counts.images, 4u);
  EXPECT_NEAR(counts.loss_sum, 4 * std::log(4.0), 1e-5);
}

TEST_P(ExecutableOn, EvaluatesASmallerBatchAsPartOfTheWhole) {
  const Program program = small_net();
  const auto device = open_device(GetParam(), {}).value();
  const std::vector<float> x = random_parameters(program, 1);
  for (const bool training : {true, false}) {
    const auto executable = device->compile(program, {.batch = 7, .training = training}).value();
    const OwnedBatch batch = random_batch(program, 7, 1);
    const Evaluation whole = executable->evaluate({x.data(), x.size()}, {}, batch.view());
    Evaluation sum;
    for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{0, 3}, {3, 4}}) {
      const std::size_t pixels = program.activations[0].count();
      const Batch part{std::span(batch.images).subspan(first * pixels, count * pixels),
                       std::span(batch.labels).subspan(first, count)};
      const Evaluation counts = executable->evaluate({x.data(), x.size()}, {}, part);
      EXPECT_EQ(executable->logits().size(), count * 5);
      EXPECT_EQ(counts.images, count);
      sum.loss_sum += counts.loss_sum;
      sum.errors += counts.errors;
    }
    EXPECT_NEAR(sum.loss_sum, whole.loss_sum, 1e-6 * whole.loss_sum);
    EXPECT_EQ(sum.errors, whole.errors);
  }
}

TEST_P(ExecutableOn, EvaluatingBetweenStepsDoesNotDisturbTraining) {
  const Program program = small_net();
  const auto device = open_device(GetParam(), {}).value();
  const auto executable = device->compile(program, {.batch = 4}).value();
  const std::vector<float> x = random_parameters(program, 1), other = random_parameters(program, 2);
  const OwnedBatch batch = random_batch(program, 4, 1);
  std::vector<float> before(x.size()), after(x.size());
  executable->train_step({x.data(), x.size()}, {}, {before.data(), before.size()}, batch.view(), 1);
  executable->evaluate({other.data(), other.size()}, {}, random_batch(program, 3, 2).view());
  executable->train_step({x.data(), x.size()}, {}, {after.data(), after.size()}, batch.view(), 1);
  EXPECT_EQ(before, after);
}

TEST(CpuExecutable, TwoInTwoThreadsGiveTheSameBitsAsAlone) {
  const auto alone = run("cpu", small_net(), 4);
  std::vector<std::vector<float>> first, second;
  std::thread one([&] { first = run("cpu", small_net(), 4); });
  std::thread two([&] { second = run("cpu", small_net(), 4); });
  one.join();
  two.join();
  EXPECT_EQ(first, alone);
  EXPECT_EQ(second, alone);
}

TEST(CpuExecutable, LearnsABatchByHeart) {
  const Program program = chain(
      {3, 12, 12},
      {{Convolution{3, 1, 1}, 16}, {Relu{}}, {MaxPool{}}, {Linear{}, 32}, {Relu{}}, {Linear{}, 5}});
  const auto device = open_device("cpu", {}).value();
  const auto executable = device->compile(program, {.batch = 16}).value();
  std::vector<float> x = random_parameters(program, 1), m(x.size()), g(x.size());
  const OwnedBatch batch = random_batch(program, 16, 3);
  for (std::uint64_t step = 0; step < 60; ++step) {
    executable->train_step({x.data(), x.size()}, {}, {g.data(), g.size()}, batch.view(), step);
    device->math().update({.learning_rate = 0.05}, {x.data(), x.size()}, {m.data(), m.size()},
                          {g.data(), g.size()}, {});
  }
  EXPECT_EQ(executable->evaluate({x.data(), x.size()}, {}, batch.view()).errors, 0u);
}

std::set<std::string> threads_of_this_process() {
  std::set<std::string> ids;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task"))
    ids.insert(task.path().filename());
  return ids;
}

/// How many more threads there are once a thread of its own has trained; OpenMP keeps those it
/// started as long as that thread lives.
std::size_t threads_started_by(unsigned threads) {
  std::size_t started = 0;
  std::thread([&] {
    const std::set<std::string> before = threads_of_this_process();
    run("cpu", small_net(), 1, threads);
    for (const std::string& id : threads_of_this_process()) started += !before.contains(id);
  }).join();
  return started;
}

TEST(CpuExecutable, RunsOnExactlyTheThreadsItWasGiven) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "libgomp is not instrumented: only one thread is meaningful under TSan";
#endif
  EXPECT_EQ(threads_started_by(1), 0u);
  EXPECT_EQ(threads_started_by(3), 2u);
  EXPECT_EQ(threads_started_by(1), 0u);
}

TEST(CpuExecutable, ReadsEachActivationOnce) {
  Program program = small_net();
  program.operations[2].input = 1;  // the pool reads what the ReLU also reads
  const auto compiled = open_device("cpu", {}).value()->compile(program, {.batch = 2});
  ASSERT_FALSE(compiled.has_value());
  EXPECT_THAT(compiled.error().message,
              testing::HasSubstr("\"op1\" and \"op2\" read one activation"));
}

TEST(CpuExecutableDeathTest, ALabelOutOfRangeIsABug) {
  const Program program = chain({2, 1, 1}, {{Linear{}, 4}});
  const auto executable = open_device("cpu", {}).value()->compile(program, {.batch = 1}).value();
  const std::vector<float> x(program.parameter_elements, 0.0f);
  for (const std::int32_t label : {-1, 4}) {
    const OwnedBatch batch{{1.0f, 1.0f}, {label}};
    EXPECT_DEATH(executable->evaluate({x.data(), x.size()}, {}, batch.view()), "of 4 classes");
  }
}

}  // namespace
}  // namespace paceline::test
