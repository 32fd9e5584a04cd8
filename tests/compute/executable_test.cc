// What every Executable promises besides the right numbers: the same bits, a gradient that leaves
// no padding unwritten, honest counts, and the cores it was given.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>
#include <thread>

#include "compute/small_program.h"
#include "temporary_folder.h"

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

/// The same promises hold of what reads an activation twice and keeps running statistics.
Program residual_net() {
  ProgramSketch sketch({3, 12, 12});
  const std::size_t x = sketch.apply_all(
      {{Convolution{3, 1, 1, false}, 12}, {BatchNorm{}}, {Relu{}}, {MaxPool{3, 2, 1}}}, 0);
  const std::size_t branch = sketch.apply_all({{Convolution{3, 2, 1, false}, 20},
                                               {BatchNorm{}},
                                               {Relu{}},
                                               {Convolution{3, 1, 1, false}, 20},
                                               {BatchNorm{}}},
                                              x);
  sketch.add(branch, sketch.apply({PaddedShortcut{2}, 20}, x));
  sketch.apply_all({{Relu{}}, {GlobalAveragePool{}}, {Dropout{0.5}}, {Linear{}, 5}}, sketch.last());
  return sketch.finish({0.1});
}

/// A training run of a few steps; returns its gradient and buffers after each.
std::vector<std::vector<float>> run(const char* device_name, const Program& program, int steps,
                                    unsigned threads = 1, std::size_t images = 8) {
  const auto device = open_device(device_name, {.threads = threads}).value();
  const auto executable = device->compile(program, {.batch = images}).value();
  std::vector<float> x = random_parameters(program, 1), m(x.size()), g(x.size());
  std::vector<float> buffers = random_buffers(program, 1);
  std::vector<std::vector<float>> after;
  for (int step = 0; step < steps; ++step) {
    const OwnedBatch batch = random_batch(program, images, static_cast<std::uint64_t>(step));
    executable->train_step(view(x), view(buffers), view(g), batch.view(),
                           static_cast<std::uint64_t>(step));
    device->math().update({.learning_rate = 0.05}, view(x), view(m), view(g), {});
    after.push_back(g);
    after.push_back(buffers);
  }
  return after;
}

struct Subject {
  const char* device;
  const char* net;
};
class ExecutableOn : public testing::TestWithParam<Subject> {
 protected:
  const char* const device_name = GetParam().device;
  const Program program =
      std::string_view(GetParam().net) == "chain" ? small_net() : residual_net();
  const std::vector<float> x = random_parameters(program, 1), buffers = random_buffers(program, 1);
  const std::unique_ptr<Device> device = open_device(device_name, {}).value();
};
INSTANTIATE_TEST_SUITE_P(Devices, ExecutableOn,
                         testing::Values(Subject{"cpu", "chain"}, Subject{"reference", "chain"},
                                         Subject{"cpu", "residual"},
                                         Subject{"reference", "residual"}),
                         [](const auto& subject) {
                           return fmt::format("{}_{}", subject.param.device, subject.param.net);
                         });

TEST_P(ExecutableOn, SameSeedGivesTheSameBits) {
  EXPECT_EQ(run(device_name, program, 3), run(device_name, program, 3));
}

TEST_P(ExecutableOn, AnotherSeedDropsOtherElements) {
  const auto executable = device->compile(program, {.batch = 4}).value();
  const OwnedBatch batch = random_batch(program, 4, 1);
  std::vector<float> g(x.size());
  const auto loss = [&](std::uint64_t seed) {
    std::vector<float> moved = buffers;
    return executable->train_step(view(x), view(moved), view(g), batch.view(), seed);
  };
  const double first = loss(1), second = loss(2);
  EXPECT_NE(first, second);
  EXPECT_EQ(first, loss(1));
}

/// Expects zeros between what `tensors` marks, and nothing written past its end.
void expect_zero_padding(const std::vector<float>& written, const std::vector<bool>& tensors) {
  std::size_t padding = 0;
  for (std::size_t e = 0; e < tensors.size(); ++e) {
    ASSERT_TRUE(std::isfinite(written[e])) << e;
    if (tensors[e]) continue;
    ++padding;
    ASSERT_EQ(written[e], 0.0f) << e;
  }
  EXPECT_GT(padding, 0u);
  for (std::size_t e = tensors.size(); e < written.size(); ++e)
    EXPECT_TRUE(std::isnan(written[e])) << e << " is past the end";
}

TEST_P(ExecutableOn, WritesThePaddingOfTheGradientAsZero) {
  const auto executable = device->compile(program, {.batch = 2}).value();
  std::vector<float> g(x.size() + 16, std::nanf("")), moved = buffers;
  executable->train_step(view(x), view(moved), view(g), random_batch(program, 2, 1).view(), 1);
  std::vector<bool> tensors(x.size(), false);
  for (const Operation& op : program.operations) {
    const ParameterCounts counts =
        parameter_counts(op.kind, program.activations[op.input], program.activations[op.output]);
    std::fill_n(tensors.begin() + static_cast<std::ptrdiff_t>(op.weight), counts.weight, true);
    std::fill_n(tensors.begin() + static_cast<std::ptrdiff_t>(op.bias), counts.bias, true);
  }
  expect_zero_padding(g, tensors);
}

TEST_P(ExecutableOn, CountsATieForTheFirstClass) {
  const auto executable = device->compile(program, {.batch = 4, .training = false}).value();
  const std::vector<float> zeros(x.size(), 0.0f);  // all logits equal
  OwnedBatch batch = random_batch(program, 4, 1);
  batch.labels = {0, 1, 2, 0};
  const Evaluation counts = executable->evaluate(view(zeros), view(buffers), batch.view());
  EXPECT_EQ(counts.errors, 2u);
  EXPECT_EQ(counts.images, 4u);
  EXPECT_NEAR(counts.loss_sum, 4 * std::log(5.0), 1e-5);
}

TEST_P(ExecutableOn, EvaluatesASmallerBatchAsPartOfTheWhole) {
  for (const bool training : {true, false}) {
    const auto executable = device->compile(program, {.batch = 7, .training = training}).value();
    const OwnedBatch batch = random_batch(program, 7, 1);
    const Evaluation whole = executable->evaluate(view(x), view(buffers), batch.view());
    Evaluation sum;
    for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{0, 3}, {3, 4}}) {
      const std::size_t pixels = program.activations[0].count();
      const Batch part{std::span(batch.images).subspan(first * pixels, count * pixels),
                       std::span(batch.labels).subspan(first, count)};
      const Evaluation counts = executable->evaluate(view(x), view(buffers), part);
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
  const auto executable = device->compile(program, {.batch = 4}).value();
  const std::vector<float> other = random_parameters(program, 2);
  const OwnedBatch batch = random_batch(program, 4, 1), another = random_batch(program, 4, 2);
  std::vector<float> before(x.size()), after(x.size());
  std::vector<float> moved = buffers, moved_again = buffers, estimated = buffers;
  executable->train_step(view(x), view(moved), view(before), batch.view(), 1);
  executable->estimate_buffers(view(other), view(estimated), another.view(), 0.5);
  executable->evaluate(view(other), view(estimated), random_batch(program, 3, 2).view());
  executable->train_step(view(x), view(moved_again), view(after), batch.view(), 1);
  EXPECT_EQ(before, after);
  EXPECT_EQ(moved, moved_again);
}

TEST_P(ExecutableOn, EvaluatesWithoutLabelSmoothing) {
  const auto executable = device->compile(program, {.batch = 3}).value();
  const OwnedBatch batch = random_batch(program, 3, 1);
  const Evaluation counts = executable->evaluate(view(x), view(buffers), batch.view());
  double sum = 0;
  for (std::size_t n = 0; n < 3; ++n) {
    const auto row = executable->logits().subspan(n * 5, 5);
    double total = 0;
    for (const float logit : row) total += std::exp(static_cast<double>(logit));
    sum += std::log(total) - static_cast<double>(row[static_cast<std::size_t>(batch.labels[n])]);
  }
  EXPECT_NEAR(counts.loss_sum, sum, 1e-5);
}

TEST(CpuExecutable, TrainsLikeTheReferenceOnOneThreadAndOnTwo) {
  for (const Program& program : {small_net(), residual_net()}) {
    const auto wanted = run("reference", program, 1);
    for (const unsigned threads : {1u, 2u}) {
      const auto got = run("cpu", program, 1, threads);
      for (std::size_t k = 0; k < wanted.size(); ++k) {
        float most = 0;
        for (const float v : wanted[k]) most = std::max(most, std::abs(v));
        EXPECT_THAT(got[k], testing::Pointwise(testing::FloatNear(3e-5f * most + 1e-7f), wanted[k]))
            << threads << " threads";
      }
    }
  }
}

TEST(CpuExecutable, TwoInTwoThreadsGiveTheSameBitsAsAlone) {
  for (const Program& program : {small_net(), residual_net()}) {
    const auto alone = run("cpu", program, 4);
    std::vector<std::vector<float>> first, second;
    std::thread one([&] { first = run("cpu", program, 4); });
    std::thread two([&] { second = run("cpu", program, 4); });
    one.join();
    two.join();
    EXPECT_EQ(first, alone);
    EXPECT_EQ(second, alone);
  }
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
    executable->train_step(view(x), {}, view(g), batch.view(), step);
    device->math().update({.learning_rate = 0.05}, view(x), view(m), view(g), {});
  }
  EXPECT_EQ(executable->evaluate(view(x), {}, batch.view()).errors, 0u);
}

TEST(CpuExecutable, OurOwnLoopsGiveTheSameBitsOnAnyNumberOfThreads) {
  ProgramSketch sketch({20, 9, 9});
  const std::size_t x = sketch.apply_all({{BatchNorm{}}, {Relu{}}}, 0);
  const std::size_t y = sketch.apply_all({{PaddedShortcut{1}, 24}, {BatchNorm{}}}, x);
  sketch.add(y, sketch.apply({PaddedShortcut{1}, 24}, x));
  sketch.apply_all({{MaxPool{3, 2, 1}},
                    {BatchNorm{}},
                    {Relu{}},
                    {AveragePool{2, 1}},
                    {BatchNorm{}},
                    {Linear{}, 5}},
                   sketch.last());
  const Program program = sketch.finish();
  const std::vector<float> parameters = random_parameters(program, 1);
  const OwnedBatch batch = random_batch(program, 33, 1);
  const auto buffers_with = [&](unsigned threads) {
    const auto device = open_device("cpu", {.threads = threads}).value();
    const auto executable = device->compile(program, {.batch = 33}).value();
    std::vector<float> buffers = random_buffers(program, 1), g(parameters.size());
    executable->train_step(view(parameters), view(buffers), view(g), batch.view(), 1);
    return buffers;
  };
  const std::vector<float> one = buffers_with(1);
  EXPECT_EQ(one, buffers_with(2));
  EXPECT_EQ(one, buffers_with(3));
}

/// A convolution that is large enough to be timed.
Program timed_net() {
  return chain({16, 16, 16}, {{Convolution{3, 1, 1, false}, 16}, {Linear{}, 3}});
}

TEST(CpuExecutable, DeterministicTimesNothing) {
  const TemporaryFolder folder;
  const char* const before = std::getenv("PACELINE_CACHE");
  const std::string restore = before != nullptr ? before : "";
  setenv("PACELINE_CACHE", folder.path().c_str(), 1);
  const auto file = folder.path() / "convolutions.txt";
  for (const bool deterministic : {true, false}) {
    const auto device = open_device("cpu", {}).value();
    ASSERT_TRUE(device->compile(timed_net(), {.batch = 32, .deterministic = deterministic}));
    EXPECT_EQ(std::filesystem::exists(file), !deterministic);
  }
  setenv("PACELINE_CACHE", restore.c_str(), 1);
}

TEST(CpuExecutable, AProfileHasEveryOperationAndChangesNoStep) {
  const Program program = residual_net();
  const auto executable = open_device("cpu", {}).value()->compile(program, {.batch = 8}).value();
  const std::vector<float> x = random_parameters(program, 1);
  std::vector<float> buffers = random_buffers(program, 1), profiled = buffers;
  std::vector<float> g(x.size()), profiled_g(x.size());
  const OwnedBatch batch = random_batch(program, 8, 1);
  executable->train_step(view(x), view(buffers), view(g), batch.view(), 0);
  const std::vector<OperationCost> costs =
      executable->profile(view(x), view(profiled), view(profiled_g), batch.view(), 1);
  EXPECT_EQ(g, profiled_g);
  EXPECT_EQ(buffers, profiled);
  double flops = 0;
  std::set<std::string> names;
  for (const OperationCost& cost : costs) {
    EXPECT_GT(cost.seconds, 0) << cost.name;
    EXPECT_TRUE(cost.bytes > 0 || cost.how == "reorder") << cost.name << " " << cost.how;
    names.insert(cost.name);
    flops += cost.flops;
  }
  EXPECT_TRUE(names.contains(program.operations.front().name));
  EXPECT_TRUE(names.contains(program.operations.back().name));
  // Three passes of each multiplication, but for the data gradient of the first convolution.
  double wanted = 0;
  for (std::size_t k = 0; k < program.operations.size(); ++k) {
    const Operation& op = program.operations[k];
    if (!std::holds_alternative<Convolution>(op.kind) && !std::holds_alternative<Linear>(op.kind))
      continue;
    const Shape& out = program.activations[op.output];
    const double weights =
        static_cast<double>(parameter_counts(op.kind, program.activations[op.input], out).weight);
    wanted += 2.0 * 8 * weights * static_cast<double>(out.height * out.width) * (k == 0 ? 2 : 3);
  }
  EXPECT_DOUBLE_EQ(flops, wanted);
}

TEST(CpuExecutable, RunsEachPassByTheAlgorithmThatItIsTold) {
  const Program program = chain(
      {3, 8, 8}, {{Convolution{3, 1, 1}, 16}, {Convolution{3, 1, 1, false}, 32}, {Linear{}, 3}});
  const std::vector<float> x = random_parameters(program, 1);
  std::vector<float> g(x.size());
  const OwnedBatch batch = random_batch(program, 2, 1);
  for (const std::string algorithm : {"direct", "winograd"}) {
    const auto device = open_device("cpu", {.convolution = algorithm}).value();
    const auto executable = device->compile(program, {.batch = 2}).value();
    std::size_t by_winograd = 0;
    for (const OperationCost& cost : executable->profile(view(x), {}, view(g), batch.view(), 1))
      by_winograd += cost.name == program.operations[1].name && cost.how.starts_with("winograd");
    EXPECT_EQ(by_winograd, algorithm == "winograd" ? 3u : 0u) << algorithm;
  }
}

TEST(CpuExecutable, AMaximumTakesTheMaskOfTheReluBeforeItAlong) {
  const auto hows = [](const Program& program) {
    const auto executable = open_device("cpu", {}).value()->compile(program, {.batch = 2}).value();
    const std::vector<float> x = random_parameters(program, 1);
    std::vector<float> buffers = random_buffers(program, 1), g(x.size());
    std::multiset<std::string> all;
    for (const OperationCost& cost : executable->profile(view(x), view(buffers), view(g),
                                                         random_batch(program, 2, 1).view(), 1))
      all.insert(cost.how);
    return all;
  };
  const Link convolution{Convolution{3, 1, 1}, 16}, relu{Relu{}}, linear{Linear{}, 3};
  const auto alone = hows(chain({3, 6, 6}, {convolution, relu, {MaxPool{}}, linear}));
  EXPECT_EQ(alone.count("maximum + mask"), 2u);
  EXPECT_EQ(alone.count("mask"), 0u);
  // Not where a mean lets every gradient through, nor where somebody else reads the ReLU, too.
  EXPECT_EQ(hows(chain({3, 6, 6}, {convolution, relu, {AveragePool{}}, linear})).count("mask"), 1u);
  ProgramSketch shared({3, 6, 6});
  const std::size_t x = shared.apply_all({convolution, relu}, 0);
  const std::size_t most = shared.apply({MaxPool{}}, x);
  shared.add(most, shared.apply({AveragePool{}}, x));
  shared.then(linear);
  const auto both = hows(shared.finish());
  EXPECT_EQ(both.count("maximum"), 2u);
  EXPECT_EQ(both.count("mask"), 1u);
}

TEST(CpuExecutable, RefusesAnAlgorithmThatItDoesNotKnow) {
  const auto device = open_device("cpu", {.convolution = "winogard"});
  ASSERT_FALSE(device.has_value());
  EXPECT_THAT(device.error().message, testing::HasSubstr("winogard"));
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

TEST(CpuExecutableDeathTest, ALabelOutOfRangeIsABug) {
  const Program program = chain({2, 1, 1}, {{Linear{}, 4}});
  const auto executable = open_device("cpu", {}).value()->compile(program, {.batch = 1}).value();
  const std::vector<float> x(program.parameter_elements, 0.0f);
  for (const std::int32_t label : {-1, 4}) {
    const OwnedBatch batch{{1.0f, 1.0f}, {label}};
    EXPECT_DEATH(executable->evaluate(view(x), {}, batch.view()), "of 4 classes");
  }
}

}  // namespace
}  // namespace paceline::test
