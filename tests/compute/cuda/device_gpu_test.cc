// The table of operations and whole networks on any device in any precision, against the reference: random inputs (a
// fresh seed, printed; PACELINE_TEST_SEED repeats it), outputs poisoned with NaN, tolerances of device_subject.cc.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "compute/cuda/device_subject.h"
#include "compute/operation_table.h"
#include "paceline/layers/network.h"

namespace paceline::test {
namespace {

constexpr std::uint64_t kStep = 7;  // the seed of the dropout masks
constexpr int kNearby = 6;          // draws of inputs nearby
constexpr int kDraws = 4;           // of inputs, see each_row()

/// Rows are named FAMILY_...; a family is one test, so that a GPU is opened a hundred times, not a thousand.
std::string family_of(const Row& row) { return row.name.substr(0, row.name.find('_')); }

std::vector<std::string> families() {
  std::vector<std::string> names;
  for (const Row& row : operation_table(0))
    if (std::ranges::find(names, family_of(row)) == names.end()) names.push_back(family_of(row));
  return names;
}

/// A program with inputs, and what the reference makes of them.
struct Case {
  Program program;
  std::vector<float> x, buffers;
  OwnedBatch batch;

  OwnedBatch nearby_batch(double relative, std::uint64_t draw) const {
    return {nearby(batch.images, relative, 2 * draw + 1), batch.labels};
  }
  double label_smoothing() const {
    return std::get<SoftmaxCrossEntropy>(program.operations.back().kind).label_smoothing;
  }
};

Case case_of(const Row& row, std::uint64_t seed) {
  return {row.program, random_parameters(row.program, seed + 11),
          random_buffers(row.program, seed + 13), random_batch(row.program, row.batch, seed + 5)};
}

Step train_on(const char* device_name, const Case& of, const std::vector<float>& x,
              const OwnedBatch& batch) {
  const auto device = open_device(device_name, {}).value();
  const auto executable = device->compile(of.program, {.batch = batch.labels.size()}).value();
  return train(*device, *executable, x, of.buffers, batch.view(), kStep);
}

/// The steps of inputs nearby, member by member.
struct Around {
  std::vector<std::vector<float>> logits, gradient, buffers, loss;
};
/// @param device_name  who takes these steps: the CPU is faster and as good where rounding does not count
Around steps_around(const Case& of, const char* device_name, double relative, int draws) {
  Around around;
  for (int draw = 0; draw < draws; ++draw) {
    const std::uint64_t k = static_cast<std::uint64_t>(draw);
    Step step =
        train_on(device_name, of, nearby(of.x, relative, 2 * k), of.nearby_batch(relative, k));
    around.logits.push_back(std::move(step.logits));
    around.gradient.push_back(std::move(step.gradient));
    around.buffers.push_back(std::move(step.buffers));
    around.loss.push_back({static_cast<float>(step.loss)});
  }
  return around;
}

void compare_step(const Case& of, const Step& got, const Step& wanted, const Around& around,
                  Comparison& comparison) {
  const float loss = static_cast<float>(got.loss), wanted_loss = static_cast<float>(wanted.loss);
  comparison.near({&loss, 1}, {&wanted_loss, 1}, around.loss, 0.1, "loss");
  EXPECT_NEAR(got.loss, loss_of(got.logits, of.batch.labels, of.label_smoothing()),
              1e-4 * std::max(1.0, got.loss))
      << "the loss is not that of the logits";
  comparison.near(got.logits, wanted.logits, around.logits, 0.1, "logits");
  comparison.near(got.buffers, wanted.buffers, around.buffers, 0.1, "buffers");
  comparison.gradient_near(of.program, got.gradient, wanted.gradient, around.gradient);
}

class TableOn : public testing::TestWithParam<std::tuple<Subject, std::string>> {
 protected:
  void SetUp() override {
    std::string reason;
    device_ = open_subject(subject_, reason);
    if (!device_) GTEST_SKIP() << reason;
    seed_ = input_seed(subject_);
  }
  /// Each row of the family with an executable for it; says in the log which one it is at. In a row with few
  /// elements a ReLU or maximum that rounding moves to its other side changes the gradient by more than any
  /// tolerance, about once in a hundred rows: such a row is given other inputs, at most kDraws in all.
  template <class Check>
  void each_row(const CompileOptions& options, Check check) {
    for (const Row& row : operation_table(seed_)) {
      if (family_of(row) != std::get<1>(GetParam())) continue;
      std::printf("%s\n", row.name.c_str());
      std::fflush(stdout);
      SCOPED_TRACE(fmt::format("{}: {}, batch {}, PACELINE_TEST_SEED={}", row.name,
                               describe(row.program), row.batch, seed_));
      CompileOptions of_row = options;
      of_row.batch = row.batch;
      try {
        const auto executable = compiled(*device_, row.program, of_row);
        for (int draw = 0; draw < kDraws; ++draw) {
          Comparison comparison(tolerance_);
          const std::uint64_t seed = seed_ + 1000 * static_cast<std::uint64_t>(draw);
          check(case_of(row, seed), *executable, comparison);
          if (comparison.complaints().empty()) break;
          std::printf("%s: off in draw %d\n", row.name.c_str(), draw);
          if (draw + 1 == kDraws) {
            EXPECT_THAT(comparison.complaints(), testing::IsEmpty());
          }
        }
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    }
  }

  /// evaluate(), and estimate_buffers() where there are any.
  void compare_forward(const Case& of, Executable& executable, Comparison& comparison) {
    const auto reference = open_device("reference", {}).value();
    const auto other = reference->compile(of.program, {.batch = of.batch.labels.size()}).value();
    const auto logits = [&](const std::vector<float>& x, const OwnedBatch& batch) {
      other->evaluate(view(x), view(of.buffers), batch.view());
      return std::vector<float>(other->logits().begin(), other->logits().end());
    };
    DeviceVector x(*device_, of.x), buffers(*device_, of.buffers);
    const Evaluation counts = executable.evaluate(x.view(), buffers.view(), of.batch.view());
    const std::span<const float> got = executable.logits();
    comparison.near(got, logits(of.x, of.batch), around(of, logits), 0.1, "logits of evaluate()");
    const double images = static_cast<double>(of.batch.labels.size());
    EXPECT_NEAR(counts.loss_sum, images * loss_of(got, of.batch.labels, 0),
                1e-4 * std::max(1.0, counts.loss_sum));
    EXPECT_EQ(counts.errors, errors_of(got, of.batch.labels));
    EXPECT_EQ(counts.images, of.batch.labels.size());
    EXPECT_EQ(buffers.values(), of.buffers) << "evaluation reads them only";

    if (of.buffers.empty()) return;
    const OwnedBatch second = random_batch(of.program, of.batch.labels.size(), seed_ + 6);
    // What is not finite gives way to the first batch's, whatever the share.
    std::vector<float> poisoned = of.buffers;
    for (float& value : poisoned)
      if (value != 0) value = std::nanf("");
    const auto estimated = [&](const std::vector<float>& at, const OwnedBatch& first) {
      std::vector<float> result = poisoned;
      other->estimate_buffers(view(at), view(result), first.view(), 0.25);
      other->estimate_buffers(view(at), view(result), second.view(), 0.5);
      return result;
    };
    buffers.assign(poisoned);
    executable.estimate_buffers(x.view(), buffers.view(), of.batch.view(), 0.25);
    executable.estimate_buffers(x.view(), buffers.view(), second.view(), 0.5);
    comparison.near(buffers.values(), estimated(of.x, of.batch), around(of, estimated), 0.1,
                    "estimated buffers");
  }
  /// What `make` makes of inputs nearby.
  template <class Make>
  std::vector<std::vector<float>> around(const Case& of, Make make) const {
    std::vector<std::vector<float>> all;
    for (std::uint64_t k = 0; k < kNearby; ++k)
      all.push_back(
          make(nearby(of.x, tolerance_.nearby, 2 * k), of.nearby_batch(tolerance_.nearby, k)));
    return all;
  }

  const Subject subject_ = std::get<0>(GetParam());
  const Tolerance tolerance_ = tolerance_of(subject_.precision);
  std::uint64_t seed_ = 0;
  std::unique_ptr<Device> device_;
};
INSTANTIATE_TEST_SUITE_P(Devices, TableOn,
                         testing::Combine(testing::ValuesIn(subjects()),
                                          testing::ValuesIn(families())),
                         [](const auto& given) {
                           return name_of(std::get<0>(given.param)) + "_" +
                                  std::get<1>(given.param);
                         });

TEST_P(TableOn, TrainsEvaluatesAndEstimatesLikeTheReference) {
  each_row({}, [&](const Case& of, Executable& executable, Comparison& comparison) {
    const Step got = train(*device_, executable, of.x, of.buffers, of.batch.view(), kStep);
    compare_step(of, got, train_on("reference", of, of.x, of.batch),
                 steps_around(of, "reference", tolerance_.nearby, kNearby), comparison);
    compare_forward(of, executable, comparison);
  });
}

// Every compilation for a GPU times algorithms; here the choice is pinned, so that both are seen.
TEST_P(TableOn, EvaluatesAndEstimatesWithoutTraining) {
  each_row({.training = false, .deterministic = true},
           [&](const Case& of, Executable& executable, Comparison& comparison) {
             compare_forward(of, executable, comparison);
           });
}

class NetworkOn : public testing::TestWithParam<std::tuple<Subject, const char*>> {};
INSTANTIATE_TEST_SUITE_P(Devices, NetworkOn,
                         testing::Combine(testing::ValuesIn(subjects()),
                                          testing::Values("lenet", "cnn7", "resnet20")),
                         [](const auto& given) {
                           return name_of(std::get<0>(given.param)) + "_" +
                                  std::get<1>(given.param);
                         });

TEST_P(NetworkOn, HasTheReferencesGradient) {
  const auto& [subject, name] = GetParam();
  std::string reason;
  const auto device = open_subject(subject, reason);
  if (!device) GTEST_SKIP() << reason;
  const std::uint64_t seed = input_seed(subject);
  SCOPED_TRACE(fmt::format("PACELINE_TEST_SEED={}", seed));

  const NetworkDescription description = named_network(name).value();
  const Network network = Network::named(name, description.image, description.classes).value();
  std::vector<float> all(network.layout().all_elements());
  network.initialise(all, seed);
  const auto buffers = all.begin() + static_cast<std::ptrdiff_t>(network.layout().elements);
  const Case of{network.program(),
                {all.begin(), buffers},
                {buffers, all.end()},
                random_batch(network.program(), 8, seed + 5)};

  Tolerance tolerance = tolerance_of(subject.precision);
  // Of some hundred thousand ReLUs one changes sides for a last bit: a thousandth of resnet20's gradient.
  tolerance.relative = std::max(tolerance.relative, 5e-3);
  const auto executable = compiled(*device, of.program, {.batch = 8});
  const Step got = train(*device, *executable, of.x, of.buffers, of.batch.view(), kStep);
  const Step wanted = train_on("reference", of, of.x, of.batch);
  Comparison comparison(tolerance);
  compare_step(of, got, wanted, steps_around(of, "cpu", tolerance.nearby, 3), comparison);
  EXPECT_THAT(comparison.complaints(), testing::IsEmpty());
  const double along = cosine(got.gradient, wanted.gradient);
  std::printf("%s %s: the gradient is off by %.2g of its norm, cosine %.6f\n", name,
              name_of(subject).c_str(),
              distance(got.gradient, wanted.gradient) / norm(wanted.gradient), along);
  EXPECT_GT(along, 1 - tolerance.relative);
}

}  // namespace
}  // namespace paceline::test
