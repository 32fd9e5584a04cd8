// Running statistics on their way from a worker's engine to a file: whole runs of a network with
// BatchNorm, and what eval finds in their checkpoints.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

#include "paceline/actors/caf_compat.h"
#include "paceline/actors/run.h"
#include "paceline/actors/tester.h"
#include "paceline/layers/safetensors.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;

class Buffers : public testing::Test {
 protected:
  Buffers() {
    use_sharing_scheduler(config, 2);
    options.workers = 2;
    options.batch = 16;
    options.tau = 2;
    options.tau_global = 4;
    options.score_window = 2;
    options.steps = 12;
    options.evaluate_every = 1000;
    options.mode = Mode::barrier;
    options.deterministic = true;
  }
  RunSummary go() {
    fs::remove_all(options.directory);
    fs::create_directories(options.directory);
    caf::actor_system system{config};
    RunControl control;
    const auto summary = run(system, options, network, data, control, nullptr);
    if (!summary) ADD_FAILURE() << summary.error().message;
    return summary ? summary.value() : RunSummary{};
  }
  std::vector<float> leader() const {
    const auto flat = read_safetensors(options.directory / "leader.safetensors", network.layout());
    if (!flat) ADD_FAILURE() << flat.error().message;
    return flat ? flat.value() : std::vector<float>(network.layout().all_elements());
  }
  /// The test error of a flat vector, computed apart.
  double error(const std::vector<float>& flat) const {
    const auto device = open_device("cpu", {}).value();
    const auto tester = Tester::create(*device, network, data, true).value();
    const Evaluation sum = tester->test({flat.data(), flat.size()});
    return static_cast<double>(sum.errors) / static_cast<double>(sum.images);
  }
  /// Of the running variances, which begin as one.
  bool moved(const std::vector<float>& flat) const {
    for (const Tensor& tensor : network.layout().buffers)
      if (tensor.name.ends_with("running_var"))
        for (std::size_t i = 0; i < tensor.count; ++i) {
          const float value = flat[tensor.offset + i];
          if (!(value > 0) || !std::isfinite(value) || value == 1) return false;
        }
    return true;
  }

  /// The largest of two flat vectors' buffers, in parts of 1 + the value.
  double difference(const std::vector<float>& a, const std::vector<float>& b) const {
    double most = 0;
    for (std::size_t i = network.layout().elements; i < network.layout().all_elements(); ++i)
      most = std::max(most, std::abs(double{a[i]} - b[i]) / (1 + std::abs(double{b[i]})));
    return most;
  }

  const TemporaryFolder folder;
  caf::actor_system_config config;
  const Data data = open_data("synthetic:train=256,test=128").value();
  const Network network = Network::named("resnet20", data.train->image, 10).value();
  RunOptions options = [this] {
    RunOptions o;
    o.directory = folder / "run";
    return o;
  }();
};

TEST_F(Buffers, TravelWithTheLeadersParametersIntoItsFile) {
  const RunSummary summary = go();
  const std::vector<float> flat = leader();
  EXPECT_TRUE(moved(flat)) << "twelve steps have moved the running variances";
  EXPECT_DOUBLE_EQ(error(flat), summary.test_error_leader);
  const std::vector<float> first = flat;
  go();
  EXPECT_EQ(leader(), first) << "a deterministic run gives the same buffers, too";
}

TEST_F(Buffers, OfTwoGroupsLeaderAreInItsFile) {
  options.groups = 2;
  const RunSummary summary = go();
  const std::vector<float> flat = leader();
  EXPECT_TRUE(moved(flat));
  EXPECT_DOUBLE_EQ(error(flat), summary.test_error_leader);
}

TEST_F(Buffers, OfACentreAreEstimatedOnTrainingBatches) {
  options.mode = Mode::nonblocking;
  options.deterministic = false;
  options.max_workers = options.workers;  // the estimate's stream comes after all seats
  options.protocol = "easgd";
  options.tau_global = RunOptions{}.tau_global;
  options.score_window = RunOptions{}.score_window;
  const RunSummary summary = go();
  const std::vector<float> flat = leader();
  EXPECT_TRUE(moved(flat));
  EXPECT_NEAR(error(flat), summary.test_error_leader, 2.5 / 128) << "other convolutions";
  EXPECT_GT(summary.evaluation_cpu_seconds, 0);

  const auto device = open_device("cpu", {}).value();
  const auto tester = Tester::create(*device, network, data, true).value();
  const auto estimated = [&](std::uint64_t seed) {
    std::vector<float> other = flat;
    std::fill(other.begin() + static_cast<std::ptrdiff_t>(network.layout().elements), other.end(),
              0.0F);
    tester->estimate_buffers({other.data(), other.size()}, {.image = network.image(),
                                                            .seed = seed,
                                                            .worker = options.workers,
                                                            .workers = options.workers + 1});
    return other;
  };
  EXPECT_LT(difference(flat, estimated(options.seed)), 1e-4) << "other convolutions, same batches";
  EXPECT_GT(difference(flat, estimated(options.seed + 1)), 1e-4) << "other batches";
}

TEST_F(Buffers, OfSnapshotsAreThoseOfTheMoment) {
  options.evaluate = Evaluate::after;
  options.evaluate_every = 0.25;
  options.steps = 32;
  const RunSummary summary = go();
  EXPECT_DOUBLE_EQ(error(leader()), summary.test_error_leader);
  EXPECT_TRUE(std::isfinite(summary.test_error_mean));
  std::ifstream lines(options.directory / "metrics.jsonl");
  int evaluations = 0;
  for (std::string line; std::getline(lines, line);)
    evaluations += line.find("\"evaluate\"") != std::string::npos;
  EXPECT_GT(evaluations, 2) << "more than those of the end: leader and mean";
}

TEST_F(Buffers, AreEstimatedAsTheMeanOfTheBatchesStatistics) {
  const auto device = open_device("cpu", {}).value();
  const auto tester = Tester::create(*device, network, data, true).value();
  std::vector<float> flat(network.layout().all_elements()), other(flat);
  network.initialise(flat, 3);
  other = flat;
  std::fill(other.begin() + static_cast<std::ptrdiff_t>(network.layout().elements), other.end(),
            -1e9F);
  for (std::vector<float>* v : {&flat, &other})
    tester->estimate_buffers({v->data(), v->size()}, {.image = network.image(), .seed = 5});
  EXPECT_TRUE(moved(flat));
  EXPECT_EQ(flat, other) << "whatever the buffers were before";

  const Layout& layout = network.layout();
  const auto executable =
      device->compile(network.program(), {.batch = 128, .training = false, .deterministic = true})
          .value();
  BatchStream stream(data, {.batch = 128, .image = network.image(), .seed = 5});
  std::vector<double> sum(layout.buffer_elements);
  for (int k = 0; k < 10; ++k) {
    std::vector<float> single(layout.buffer_elements);
    executable->estimate_buffers({flat.data(), layout.elements}, {single.data(), single.size()},
                                 stream.next(), 1);
    for (std::size_t i = 0; i < single.size(); ++i) sum[i] += single[i];
  }
  std::vector<float> mean = flat;
  for (std::size_t i = 0; i < sum.size(); ++i)
    mean[layout.elements + i] = static_cast<float>(sum[i] / 10);
  EXPECT_LT(difference(flat, mean), 1e-5);
}

}  // namespace
}  // namespace paceline
