// Runs that are stopped and go on: the same bits as one that never stopped, and what a checkpoint
// leaves in the run's folder.
#include "paceline/actors/resume.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "paceline/actors/caf_compat.h"
#include "paceline/layers/network_file.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNetwork = R"(
image 3x8x8
learning-rate 0.05
conv 4 3x3 pad 1 no-bias
bn
relu
maxpool 2x2
dropout 0.2
linear classes
)";

class Resume : public testing::Test {
 protected:
  Resume() {
    use_sharing_scheduler(config, 2);
    options.workers = 2;
    options.batch = 8;
    options.tau = 2;
    options.tau_global = 4;
    options.score_window = 3;
    options.evaluate_every = 1000;
    options.keep_checkpoints = 100;
  }
  /// With what means something to it.
  void use(const char* protocol) {
    const RunOptions usual;
    options.protocol = protocol;
    options.tau_global = usual.tau_global;
    options.score_window = usual.score_window;
    if (options.protocol == "diana") options.tau = usual.tau;
  }
  void deterministic() {
    options.mode = Mode::barrier;
    options.deterministic = true;
  }
  static Network build(const Data& data) {
    NetworkDescription description = parse_network(kNetwork, "small.net").value();
    description.name = "small";
    const Shape image = description.cropped(data.train->image);
    return Network::build(description, {.image = image, .classes = data.train->classes}).value();
  }

  /// A run of so many steps a worker in a folder of its own, new or resumed.
  Result<RunSummary> ride(const std::string& name, std::uint64_t steps, bool resume = false) {
    RunOptions o = options;
    o.steps = steps;
    o.directory = folder / name;
    fs::create_directories(o.directory);
    if (resume) {
      auto from = read_newest_checkpoint(o.directory, network.layout());
      if (!from) return from.error();
      o.resume = std::make_shared<const Checkpoint>(std::move(from).value());
    }
    RunControl control;
    caf::actor_system system{config};
    return run(system, o, network, data, control, [&](const Progress& p) {
      if (on_progress) on_progress(p, control);
    });
  }
  /// Rides to `stop` steps, goes on to `end`, and compares with a ride without a stop.
  void expect_same_bits(std::uint64_t stop, std::uint64_t end) {
    const auto whole = ride("whole", end);
    ASSERT_TRUE(whole) << whole.error().message;
    options.checkpoint_steps = 8;
    const auto first = ride("parts", stop);
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_NE(leader("whole"), leader("parts"));
    const auto second = ride("parts", end, true);
    ASSERT_TRUE(second) << second.error().message;
    EXPECT_EQ(second.value().steps, end * options.workers);
    EXPECT_EQ(leader("whole"), leader("parts"));
  }
  std::string leader(const std::string& name) const {
    return content(folder / name / "leader.safetensors");
  }
  std::vector<nlohmann::json> events(const std::string& name, const std::string& event) const {
    std::vector<nlohmann::json> lines;
    std::ifstream file(folder / name / "metrics.jsonl");
    for (std::string line; std::getline(file, line);)
      if (auto json = nlohmann::json::parse(line); json.at("event") == event)
        lines.push_back(std::move(json));
    return lines;
  }

  const TemporaryFolder folder;
  caf::actor_system_config config;
  const Data data = open_data("synthetic:train=100,test=32").value();
  const Network network = build(data);
  RunOptions options;
  std::function<void(const Progress&, RunControl&)> on_progress;
};

TEST_F(Resume, LsgdOfOneGroupGivesTheBitsOfARunThatNeverStopped) {
  deterministic();
  for (const Momentum form :
       {Momentum::nesterov, Momentum::sutskever, Momentum::heavy_ball, Momentum::none}) {
    options.sgd.form = form;
    options.sgd.momentum = form == Momentum::none ? 0 : 0.9;
    options.checkpoint_steps = 0;
    expect_same_bits(12, 28);
    fs::remove_all(folder / "whole");
    fs::remove_all(folder / "parts");
  }
}

TEST_F(Resume, StoredLeadersGoOnAsTheyWere) {  // LSGD's Extension, LS-7
  deterministic();
  options.groups = 2;
  options.workers = 4;
  options.set = {{"proximal", "0.2"}, {"proximal_global", "0.2"}};
  expect_same_bits(12, 28);
}

TEST_F(Resume, LsgdOfTwoGroupsGivesTheBitsOfARunThatNeverStopped) {
  deterministic();
  options.groups = 2;
  options.workers = 4;
  expect_same_bits(12, 28);
}

TEST_F(Resume, DianaGivesTheBitsOfARunThatNeverStopped) {
  use("diana");
  options.device = "reference";  // nothing is chosen by timing
  options.sgd.form = Momentum::heavy_ball;
  expect_same_bits(11, 24);
  if (HasFatalFailure()) return;
  const Checkpoint last =
      read_newest_checkpoint(folder / "parts", network.layout()).value();
  EXPECT_TRUE(last.in_step);
  ASSERT_TRUE(last.centre);
  const auto h = last.centre->vectors.at("h");
  const auto h0 = last.workers.at(0).vectors.at("h"), h1 = last.workers.at(1).vectors.at("h");
  double largest = 0;
  for (std::size_t i = 0; i < h.size(); ++i) {
    EXPECT_NEAR(h[i], (h0[i] + h1[i]) / 2, 1e-5) << i;  // DI-1
    largest = std::max<double>(largest, std::abs(h[i]));
  }
  EXPECT_GT(largest, 0);
}

TEST_F(Resume, EasgdOfOneWorkerGivesTheBitsOfARunThatNeverStopped) {
  use("easgd");
  options.device = "reference";
  options.workers = 1;
  options.sgd.form = Momentum::sutskever;
  expect_same_bits(11, 24);
}

TEST_F(Resume, CheckpointsOnTheWayChangeNoBit) {
  deterministic();
  options.groups = 2;
  options.workers = 4;
  ASSERT_TRUE(ride("without", 24));
  options.checkpoint_steps = 4;
  ASSERT_TRUE(ride("with", 24));
  EXPECT_EQ(leader("without"), leader("with"));
  const auto written = events("with", "checkpoint");
  ASSERT_EQ(written.size(), 6u);
  for (std::size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(written[i].at("steps"), 16 * (i + 1));
    EXPECT_FALSE(written[i].at("resumed"));
  }
  // From each of them the run ends with the same bits.
  for (const auto& line : written) {
    const fs::path path = line.at("path").get<std::string>();
    const auto name = path.filename().string();
    fs::create_directories(folder / name / "checkpoints");
    fs::copy(path, folder / name / "checkpoints" / name, fs::copy_options::recursive);
    if (line.at("steps") == 96) continue;
    const auto summary = ride(name, 24, true);
    ASSERT_TRUE(summary) << summary.error().message;
    EXPECT_EQ(leader("without"), leader(name)) << name;
  }
}

TEST_F(Resume, AnInterruptedDeterministicRunStopsWhereItCanGoOnToTheSameBits) {
  deterministic();
  options.checkpoint_steps = 4000;  // none on the way
  constexpr std::uint64_t kSteps = 4000;
  on_progress = [](const Progress& p, RunControl& control) {
    if (p.steps > 0) control.stop();
  };
  const auto first = ride("parts", kSteps);
  ASSERT_TRUE(first) << first.error().message;
  on_progress = nullptr;
  if (first.value().ended_by != "interrupt") GTEST_SKIP() << "too fast to be interrupted";
  const auto saved = read_newest_checkpoint(folder / "parts", network.layout());
  ASSERT_TRUE(saved) << saved.error().message;
  EXPECT_TRUE(saved.value().in_step);
  EXPECT_EQ(saved.value().workers.at(0).steps % options.tau_global, 0u);
  ASSERT_TRUE(ride("parts", kSteps, true));
  options.checkpoint_steps = 0;
  ASSERT_TRUE(ride("whole", kSteps));
  EXPECT_EQ(leader("whole"), leader("parts"));
}

TEST_F(Resume, EveryProtocolGoesOnWithMoreOrFewerWorkers) {
  options.checkpoint_steps = 6;
  for (const char* protocol : {"lsgd", "easgd", "diana"}) {
    use(protocol);
    options.sgd.form = Momentum::nesterov;
    options.workers = 2;
    const auto begun = ride(protocol, 12);
    ASSERT_TRUE(begun) << begun.error().message;
    options.workers = 3;
    const auto more = ride(protocol, 20, true);
    ASSERT_TRUE(more) << more.error().message;
    EXPECT_EQ(more.value().steps, 60u) << protocol;
    options.workers = 1;
    const auto fewer = ride(protocol, 80, true);
    ASSERT_TRUE(fewer) << fewer.error().message;
    EXPECT_EQ(fewer.value().steps, 80u) << protocol;
    const auto resumed = events(protocol, "checkpoint");
    EXPECT_EQ(std::ranges::count_if(resumed, [](const auto& e) { return e.at("resumed") == true; }),
              2)
        << protocol;
    EXPECT_TRUE(events(protocol, "fault").empty()) << events(protocol, "fault")[0];
  }
}

TEST_F(Resume, NewcomersBeginAtTheLeaderInTheEpochOfTheOthers) {
  deterministic();  // each takes its share of the steps
  options.checkpoint_steps = 20;
  ASSERT_TRUE(ride("run", 20));  // 20 * 8 of 100 images: the second epoch
  const Checkpoint from = read_newest_checkpoint(folder / "run", network.layout()).value();
  EXPECT_EQ(from.workers.at(0).stream.epoch, 1u);
  options.workers = 3;
  options.sgd.learning_rate = 1e-30;  // nobody moves
  options.sgd.form = Momentum::none;
  options.sgd.momentum = options.pull = options.pull_global = 0;
  options.checkpoint_steps = 4;
  const auto summary = ride("run", 24, true);
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().steps, 72u);
  const Checkpoint to = read_newest_checkpoint(folder / "run", network.layout()).value();
  ASSERT_TRUE(to.workers.contains(2));
  EXPECT_EQ(to.workers.at(2).steps, 24u);
  EXPECT_EQ(to.workers.at(2).stream.epoch, 1u);
  const auto x = to.workers.at(2).vectors.at("x");
  for (const Tensor& t : network.layout().tensors)
    for (std::size_t i = t.offset; i < t.offset + t.count; ++i)
      ASSERT_EQ(x[i], from.model[i]) << t.name;
}

TEST_F(Resume, TheClockTheStepsAndTheMetricsGoOn) {
  options.checkpoint_seconds = 1000;  // at the end alone
  const auto first = ride("run", 10);
  ASSERT_TRUE(first) << first.error().message;
  const std::size_t lines = content(folder / "run/metrics.jsonl").size();
  std::ofstream(folder / "run/metrics.jsonl", std::ios::app) << R"({"v":1,"t":0.1,"eve)";
  const auto second = ride("run", 30, true);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second.value().steps, 60u);
  EXPECT_GT(second.value().train_seconds, first.value().train_seconds);
  EXPECT_GT(content(folder / "run/metrics.jsonl").size(), lines);
  const auto checkpoints = events("run", "checkpoint");  // every line is whole
  ASSERT_EQ(checkpoints.size(), 3u);
  EXPECT_EQ(checkpoints[1].at("resumed"), true);
  EXPECT_EQ(checkpoints[1].at("steps"), 20);
  EXPECT_GE(checkpoints[1].at("t").get<double>(), checkpoints[0].at("t").get<double>());
  EXPECT_EQ(checkpoints[2].at("steps"), 60);
}

TEST_F(Resume, WhatContradictsTheCheckpointIsRefusedInOneLine) {
  options.checkpoint_steps = 10;
  ASSERT_TRUE(ride("run", 10));
  const auto refused = [&](std::uint64_t steps) {
    const auto summary = ride("run", steps, true);
    return summary ? std::string("was accepted") : summary.error().message;
  };
  EXPECT_NE(refused(10).find("larger budget"), std::string::npos) << refused(10);
  options.seed = 2;
  EXPECT_NE(refused(20).find("--seed 1"), std::string::npos) << refused(20);
  options.seed = 1;
  use("easgd");
  EXPECT_NE(refused(20).find("--protocol lsgd"), std::string::npos) << refused(20);
}

TEST_F(Resume, ACheckpointThatCannotBeWrittenIsAFaultAndTheRunGoesOn) {
  options.checkpoint_steps = 4;
  fs::create_directories(folder / "run");
  std::ofstream(folder / "run/checkpoints") << "a file where the folder should be";
  const auto summary = ride("run", 12);
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().steps, 24u);
  const auto faults = events("run", "fault");
  ASSERT_FALSE(faults.empty());
  EXPECT_NE(faults[0].at("text").get<std::string>().find("no checkpoint"), std::string::npos);
  EXPECT_TRUE(events("run", "checkpoint").empty());
}

}  // namespace
}  // namespace paceline
