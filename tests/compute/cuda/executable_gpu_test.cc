// What every Executable promises besides the right numbers, on any device in any precision: the same bits, honest
// counts, smaller batches, masks that all devices share, and neighbours that do not disturb each other.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "compute/cuda/device_subject.h"
#include "paceline/compute/random.h"

namespace paceline::test {
namespace {

constexpr std::size_t kImages = 8;

void expect_near(std::span<const float> got, std::span<const float> wanted,
                 const Tolerance& tolerance, const std::string& what) {
  Comparison comparison(tolerance);
  comparison.near(got, wanted, {}, 0.1, what);
  EXPECT_THAT(comparison.complaints(), testing::IsEmpty());
}

/// All that has a state or an order: convolutions, BatchNorms, an addition, pools, dropout.
Program residual_net() {
  ProgramSketch sketch({3, 12, 12});
  const std::size_t x = sketch.apply_all(
      {{Convolution{3, 1, 1, false}, 16}, {BatchNorm{}}, {Relu{}}, {MaxPool{3, 2, 1}}}, 0);
  const std::size_t branch = sketch.apply_all({{Convolution{3, 2, 1, false}, 24},
                                               {BatchNorm{}},
                                               {Relu{}},
                                               {Convolution{3, 1, 1, false}, 24},
                                               {BatchNorm{}}},
                                              x);
  sketch.add(branch, sketch.apply({PaddedShortcut{2}, 24}, x));
  sketch.apply_all({{Relu{}}, {Linear{}, 40}, {Relu{}}, {Dropout{0.5}}, {Linear{}, 5}},
                   sketch.last());
  return sketch.finish({0.1});
}

/// The gradient and buffers after each of a few steps of training, and the parameters at the end.
std::vector<std::vector<float>> run(Device& device, const Program& program, std::uint64_t seed,
                                    int steps) {
  const auto executable = compiled(device, program, {.batch = kImages, .deterministic = true});
  const std::vector<float> first = random_parameters(program, seed);
  DeviceVector x(device, first), m(device, std::vector<float>(first.size(), 0.0f)),
      g(device, first.size());
  DeviceVector buffers(device, random_buffers(program, seed));
  std::vector<std::vector<float>> after;
  for (int step = 0; step < steps; ++step) {
    const std::uint64_t k = seed + static_cast<std::uint64_t>(step);
    const OwnedBatch batch = random_batch(program, kImages, k);
    executable->train_step(x.view(), buffers.view(), g.view(), batch.view(), k);
    if (step % 2 == 0) after.push_back(g.values());  // between others: reading changes nothing
    device.math().update({.learning_rate = 0.05}, x.view(), m.view(), g.view(), {});
  }
  after.push_back(g.values());
  after.push_back(buffers.values());
  after.push_back(x.values());
  return after;
}

class PromisesOn : public testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    std::string reason;
    device_ = open_subject(GetParam(), reason);
    if (!device_) GTEST_SKIP() << reason;
    seed_ = input_seed(GetParam());
    x_ = random_parameters(program_, seed_);
    buffers_ = random_buffers(program_, seed_);
    batch_ = random_batch(program_, kImages, seed_);
  }
  std::unique_ptr<Executable> compile(CompileOptions options = {}) {
    options.batch = kImages;
    options.deterministic = true;
    return compiled(*device_, program_, options);
  }
  const Program program_ = residual_net();
  std::uint64_t seed_ = 0;
  std::vector<float> x_, buffers_;
  OwnedBatch batch_;
  std::unique_ptr<Device> device_;
};
INSTANTIATE_TEST_SUITE_P(Devices, PromisesOn, testing::ValuesIn(subjects()),
                         [](const auto& given) { return name_of(given.param); });

/// A GPU runs the first step as it is, captures the second and replays the others.
TEST_P(PromisesOn, AStepIsTheSameWheneverItIsTaken) {
  const Program program = residual_net();
  const auto executable = compiled(*device_, program, {.batch = kImages, .deterministic = true});
  const std::vector<float> first = random_parameters(program, seed_),
                           statistics = random_buffers(program, seed_);
  DeviceVector x(*device_, first), g(*device_, first.size()), buffers(*device_, statistics);
  const auto gradient = [&](std::uint64_t batch, std::uint64_t masks) {
    device_->math().copy(buffers.view(), view(statistics));
    executable->train_step(x.view(), buffers.view(), g.view(),
                           random_batch(program, kImages, seed_ + batch).view(), masks);
    std::vector<std::vector<float>> result{g.values(), buffers.values()};
    return result;
  };
  const auto wanted = gradient(1, 5);
  for (int again = 0; again < 6; ++again) EXPECT_EQ(gradient(1, 5), wanted) << again;
  EXPECT_NE(gradient(1, 6), wanted) << "other masks";
  EXPECT_NE(gradient(2, 5), wanted) << "another batch";
  EXPECT_EQ(gradient(1, 5), wanted);
}

TEST_P(PromisesOn, VectorsInHostMemoryAreTakenAlong) {
  const Program program = residual_net();
  const auto executable = compiled(*device_, program, {.batch = kImages, .deterministic = true});
  const std::vector<float> first = random_parameters(program, seed_),
                           statistics = random_buffers(program, seed_);
  const OwnedBatch batch = random_batch(program, kImages, seed_ + 1);
  DeviceVector x(*device_, first), g(*device_, first.size()), buffers(*device_, statistics);
  executable->train_step(x.view(), buffers.view(), g.view(), batch.view(), 3);
  std::vector<float> host_g(first.size(), 7), host_buffers = statistics;
  executable->train_step(view(first), view(host_buffers), view(host_g), batch.view(), 3);
  EXPECT_EQ(host_g, g.values());
  EXPECT_EQ(host_buffers, buffers.values());
  const Evaluation there = executable->evaluate(x.view(), buffers.view(), batch.view());
  const Evaluation here = executable->evaluate(view(first), view(host_buffers), batch.view());
  EXPECT_EQ(here.loss_sum, there.loss_sum);
  EXPECT_EQ(here.errors, there.errors);
}

/// Steps with their update, as one or in turn: losses, g, buffers, momentum and x after each.
/// @param host  x, momentum and the others in host memory
std::vector<std::vector<float>> updated_steps(Device& device, const Program& program, Momentum form,
                                              std::uint64_t seed, bool as_one, bool host) {
  const auto executable = compiled(device, program, {.batch = kImages, .deterministic = true});
  const std::vector<float> first = random_parameters(program, seed);
  DeviceVector on_x(device, first), on_m(device, std::vector<float>(first.size(), 0.0f)),
      on_g(device, first.size()), on_buffers(device, random_buffers(program, seed));
  std::vector<float> host_x = first, host_m(first.size(), 0.0f), host_g(first.size(), 7.0f),
                     host_buffers = random_buffers(program, seed);
  const Vector x = host ? view(host_x) : on_x.view(), g = host ? view(host_g) : on_g.view(),
               buffers = host ? view(host_buffers) : on_buffers.view(),
               momentum = form == Momentum::none ? Vector{}
                          : host                 ? view(host_m)
                                                 : on_m.view();
  std::vector<ElementRange> undecayed;  // two launches' worth
  for (std::size_t k = 0; k < 400; ++k) undecayed.push_back({3 * k, 1});
  std::vector<std::vector<float>> after;
  for (std::uint64_t step = 0; step < 7; ++step) {
    // Each number another one: what a graph has kept of an earlier step shows.
    const Sgd sgd{.learning_rate = 0.05 / static_cast<double>(1 + step),
                  .momentum = 0.9 - 0.01 * static_cast<double>(step),
                  .weight_decay = 1e-3 * static_cast<double>(1 + step),
                  .form = form,
                  .undecayed = std::span(undecayed).first(step == 5 ? 100 : 400)};
    const OwnedBatch batch = random_batch(program, kImages, seed + step);
    if (form == Momentum::sutskever) device.math().look_ahead(sgd, x, momentum);
    double loss = 0;
    if (as_one && step != 3) {  // one without between others: both kinds of graph are kept
      loss = executable->train_and_update(sgd, x, momentum, buffers, g, batch.view(), seed + step);
    } else {
      loss = executable->train_step(x, buffers, g, batch.view(), seed + step);
      device.math().update(sgd, x, momentum, g, {});
    }
    device.math().finish();
    after.push_back({static_cast<float>(loss)});
    after.push_back(host ? host_g : on_g.values());
    after.push_back(host ? host_buffers : on_buffers.values());
    after.push_back(host ? host_m : on_m.values());
    after.push_back(host ? host_x : on_x.values());
  }
  const Evaluation end =
      executable->evaluate(x, buffers, random_batch(program, kImages, seed).view());
  after.push_back(
      {static_cast<float>(end.loss_sum)});  // of the 16-bit weights, where there are any
  return after;
}

TEST_P(PromisesOn, AnUpdateInTheStepGivesTheBitsOfOneBehindIt) {
  if (!compile()->updates()) GTEST_SKIP() << device_->description() << " takes no update along";
  for (const Momentum form :
       {Momentum::none, Momentum::heavy_ball, Momentum::nesterov, Momentum::sutskever})
    for (const bool host : {false, true}) {
      if (host && form != Momentum::nesterov) continue;
      SCOPED_TRACE(fmt::format("form {}, host {}", static_cast<int>(form), host));
      const auto wanted = updated_steps(*device_, program_, form, seed_, false, host);
      const auto got = updated_steps(*device_, program_, form, seed_, true, host);
      ASSERT_EQ(got.size(), wanted.size());
      for (std::size_t k = 0; k < got.size(); ++k)
        EXPECT_TRUE(got[k] == wanted[k]) << "number " << k % 5 << " after step " << k / 5;
    }
}

TEST_P(PromisesOn, AnUpdateInTheStepIsTakenWhateverTheLossIs) {
  const auto executable = compile();
  if (!executable->updates()) GTEST_SKIP() << device_->description() << " takes no update along";
  DeviceVector x(*device_, std::vector<float>(x_.size(), NAN)), g(*device_, x_.size());
  DeviceVector m(*device_, std::vector<float>(x_.size(), 0.0f)), buffers(*device_, buffers_);
  for (int k = 0; k < 3; ++k) {  // as it is, captured, replayed
    executable->train_and_update({}, x.view(), m.view(), buffers.view(), g.view(), batch_.view(),
                                 1);
    device_->math().copy(x.view(), view(std::as_const(x_)));  // begins again
    device_->math().fill(m.view(), 0);
    device_->math().copy(buffers.view(), view(std::as_const(buffers_)));
    const double loss = executable->train_and_update({}, x.view(), m.view(), buffers.view(),
                                                     g.view(), batch_.view(), 1);
    EXPECT_TRUE(std::isfinite(loss)) << k;
    EXPECT_TRUE(device_->math().finite(x.view())) << k;
    device_->math().fill(x.view(), NAN);
  }
}

TEST_P(PromisesOn, SameSeedGivesTheSameBits) {
  EXPECT_EQ(run(*device_, program_, seed_, 5), run(*device_, program_, seed_, 5));
}

TEST_P(PromisesOn, AnotherDeviceObjectGivesTheSameBits) {
  std::string reason;
  const auto other = open_subject(GetParam(), reason);
  ASSERT_TRUE(other) << reason;
  EXPECT_EQ(run(*device_, program_, seed_, 3), run(*other, program_, seed_, 3));
}

TEST_P(PromisesOn, TwoExecutablesOnTwoThreadsGiveWhatEachGivesAlone) {
  const auto first_alone = run(*device_, program_, seed_, 20);
  const auto second_alone = run(*device_, program_, seed_ + 100, 20);
  std::vector<std::vector<float>> first, second;
  const auto work = [&](std::uint32_t worker, std::uint64_t seed, auto* result) {
    return std::thread([this, worker, seed, result] {
      try {
        device_->use_for(worker);
        *result = run(*device_, program_, seed, 20);
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    });
  };
  std::thread one = work(0, seed_, &first), two = work(0, seed_ + 100, &second);
  one.join();
  two.join();
  EXPECT_EQ(first, first_alone);
  EXPECT_EQ(second, second_alone);
}

TEST_P(PromisesOn, EvaluatesASmallerBatchAsPartOfTheWhole) {
  for (const bool training : {true, false}) {
    const auto executable = compile({.training = training});
    DeviceVector x(*device_, x_), buffers(*device_, buffers_);
    const Evaluation whole = executable->evaluate(x.view(), buffers.view(), batch_.view());
    const std::vector<float> logits(executable->logits().begin(), executable->logits().end());
    std::vector<float> parts;
    Evaluation sum;
    const std::size_t pixels = program_.activations[0].count();
    for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{0, 1}, {1, 4}, {5, 3}}) {
      const Batch part{std::span(batch_.images).subspan(first * pixels, count * pixels),
                       std::span(batch_.labels).subspan(first, count)};
      const Evaluation counts = executable->evaluate(x.view(), buffers.view(), part);
      EXPECT_EQ(counts.images, count);
      EXPECT_EQ(executable->logits().size(), count * 5);
      EXPECT_EQ(counts.errors, errors_of(executable->logits(), part.labels));
      parts.insert(parts.end(), executable->logits().begin(), executable->logits().end());
      sum.loss_sum += counts.loss_sum;
    }
    // Another plan for another batch may round otherwise.
    const Tolerance tolerance = tolerance_of(GetParam().precision);
    expect_near(parts, logits, tolerance, "logits");
    EXPECT_NEAR(sum.loss_sum, whole.loss_sum, tolerance.relative * std::max(1.0, whole.loss_sum));
  }
}

TEST_P(PromisesOn, EvaluatingBetweenStepsDoesNotDisturbTraining) {
  const auto executable = compile();
  const Step before = train(*device_, *executable, x_, buffers_, batch_.view(), 1);
  DeviceVector other(*device_, random_parameters(program_, seed_ + 2)), buffers(*device_, buffers_);
  const OwnedBatch another = random_batch(program_, kImages, seed_ + 2);
  executable->estimate_buffers(other.view(), buffers.view(), another.view(), 0.5);
  executable->evaluate(other.view(), buffers.view(), random_batch(program_, 3, seed_ + 3).view());
  const Step after = train(*device_, *executable, x_, buffers_, batch_.view(), 1);
  EXPECT_EQ(before.gradient, after.gradient);
  EXPECT_EQ(before.buffers, after.buffers);
  EXPECT_EQ(before.loss, after.loss);
}

TEST_P(PromisesOn, AnotherSeedDropsOtherElements) {
  const auto executable = compile();
  const auto loss = [&](std::uint64_t seed) {
    return train(*device_, *executable, x_, buffers_, batch_.view(), seed).loss;
  };
  const double first = loss(1), second = loss(2);
  EXPECT_NE(first, second);
  EXPECT_EQ(first, loss(1));
}

TEST_P(PromisesOn, DropsTheElementsThatTheReferenceDrops) {
  // Of ones, a weight's gradient is 0 exactly where its input was dropped.
  constexpr std::size_t kWidth = 5'000;
  const Program program = chain({kWidth, 1, 1}, {{Dropout{0.3}}, {Linear{}, 2}});
  const std::vector<float> x(program.parameter_elements, 0.0f);
  const OwnedBatch batch{std::vector<float>(kWidth, 1.0f), {0}};
  const auto reference = open_device("reference", {}).value();
  for (std::uint64_t step = 1; step <= 3; ++step) {
    const auto mask = [&](Device& device) {
      const auto executable = compiled(device, program, {.batch = 1});
      const Step got = train(device, *executable, x, {}, batch.view(), seed_ + step);
      std::vector<bool> kept;
      for (std::size_t e = 0; e < kWidth; ++e) kept.push_back(got.gradient[e] != 0.0f);
      return kept;
    };
    const std::vector<bool> wanted = mask(*reference);
    EXPECT_EQ(mask(*device_), wanted);
    EXPECT_NEAR(static_cast<double>(std::ranges::count(wanted, true)), 0.7 * kWidth, 200);
  }
}

TEST_P(PromisesOn, AStagedBatchGivesTheSameBits) {
  const auto executable = compile();
  if (!executable->has_meanwhile())
    GTEST_SKIP() << "nothing is staged on " << device_->description();
  const Step plain = train(*device_, *executable, x_, buffers_, batch_.view(), 1);
  const OwnedBatch other = random_batch(program_, kImages, seed_ + 1);
  int calls = 0;
  executable->meanwhile([&] {
    ++calls;
    executable->stage(batch_.view());
  });
  executable->stage(other.view());
  const Step before = train(*device_, *executable, x_, buffers_, other.view(), 2);
  executable->meanwhile([&] { ++calls; });
  const Step staged = train(*device_, *executable, x_, buffers_, batch_.view(), 1);
  EXPECT_EQ(calls, 2);
  EXPECT_NE(before.loss, plain.loss);
  EXPECT_EQ(staged.gradient, plain.gradient);
  EXPECT_EQ(staged.loss, plain.loss);
}

TEST_P(PromisesOn, BatchesInBytesAreTheImagesMadeOfThem) {
  const auto executable = compile();
  if (!executable->takes_raw()) GTEST_SKIP() << device_->description() << " takes no bytes";
  const Shape image = program_.activations[0], stored{3, 16, 14};
  Rng rng(seed_, 4);
  std::vector<std::uint8_t> bytes(kImages * stored.count());
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(rng.below(256));
  std::vector<Cut> cuts;
  for (std::size_t n = 0; n < kImages; ++n)  // partly outside on every side
    cuts.push_back({static_cast<std::int32_t>(rng.below(13)) - 4,
                    static_cast<std::int32_t>(rng.below(11)) - 4,
                    static_cast<std::int32_t>(n % 2)});
  const std::vector<float> scale = {0.02f, 0.015f, 0.01f}, shift = {-2.0f, -1.8f, -1.4f};
  OwnedBatch made{{}, batch_.labels};
  for (std::size_t n = 0; n < kImages; ++n)
    for (std::size_t y = 0; y < image.height; ++y)
      for (std::size_t column = 0; column < image.width; ++column)
        for (std::size_t c = 0; c < 3; ++c) {
          const std::size_t x = cuts[n].flip != 0 ? image.width - 1 - column : column;
          const std::int64_t top = cuts[n].top + static_cast<std::int64_t>(y);
          const std::int64_t left = cuts[n].left + static_cast<std::int64_t>(x);
          const bool inside = top >= 0 && top < static_cast<std::int64_t>(stored.height) &&
                              left >= 0 && left < static_cast<std::int64_t>(stored.width);
          const std::size_t at =
              ((n * stored.height + static_cast<std::size_t>(top)) * stored.width +
               static_cast<std::size_t>(left)) *
                  3 +
              c;
          made.images.push_back(inside ? static_cast<float>(bytes[at]) * scale[c] + shift[c]
                                       : 0.0f);
        }
  const RawBatch raw{bytes, stored, cuts, scale, shift};
  const Step wanted = train(*device_, *executable, x_, buffers_, made.view(), 1);
  const Step got = train(*device_, *executable, x_, buffers_,
                         {.images = {}, .labels = made.labels, .raw = &raw}, 1);
  const Tolerance tolerance =
      tolerance_of(GetParam().precision);  // a pixel may round the other way
  expect_near(got.logits, wanted.logits, tolerance, "logits");
  expect_near(got.gradient, wanted.gradient, tolerance, "gradient");
}

TEST_P(PromisesOn, LearnsABatchByHeart) {
  const auto executable = compile();
  DeviceVector x(*device_, x_), m(*device_, std::vector<float>(x_.size(), 0.0f)),
      g(*device_, x_.size());
  DeviceVector buffers(*device_, buffers_);
  for (std::uint64_t step = 0; step < 200; ++step) {
    executable->train_step(x.view(), buffers.view(), g.view(), batch_.view(), step);
    device_->math().update({.learning_rate = 0.02}, x.view(), m.view(), g.view(), {});
  }
  executable->estimate_buffers(x.view(), buffers.view(), batch_.view(), 1.0);
  EXPECT_EQ(executable->evaluate(x.view(), buffers.view(), batch_.view()).errors, 0u);
}

}  // namespace
}  // namespace paceline::test
