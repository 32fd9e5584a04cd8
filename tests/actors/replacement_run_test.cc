// Whole runs on real actors and engines whose device fails: who ends before its time is replaced,
// and what is not finite goes no further.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "paceline/actors/caf_compat.h"
#include "paceline/actors/run.h"
#include "paceline/layers/safetensors.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class ReplacementRun : public testing::Test {
 protected:
  ReplacementRun() {
    use_sharing_scheduler(config, 2);
    options.groups = 2;
    options.workers = 4;
    options.batch = 16;
    options.tau = 2;
    options.tau_global = 4;
    options.score_window = 2;
    options.steps = 40;
    options.sgd.learning_rate = 0.01;
    options.device = "failing";
    options.directory = folder / "run";
  }
  ~ReplacementRun() override {
    fail_at("", "");
    ::unsetenv("FAILING_UPDATES");
  }

  static void fail_at(const char* steps, const char* builds = "") {
    ::setenv("FAILING_STEPS", steps, 1);
    ::setenv("FAILING_BUILDS", builds, 1);
  }
  void lockstep() {
    options.mode = Mode::barrier;
    options.deterministic = true;
  }
  Result<RunSummary> go() {
    fs::remove_all(options.directory);
    fs::create_directories(options.directory);
    caf::actor_system system{config};
    RunControl control;
    return run(system, options, network, data, control, nullptr);
  }
  std::vector<std::string> faults() const { return faults_of_anyone(true); }
  /// @param workers  expected to be all of workers
  std::vector<std::string> faults_of_anyone(bool workers = false) const {
    std::vector<std::string> texts;
    std::ifstream file(options.directory / "metrics.jsonl");
    for (std::string line; std::getline(file, line);)
      if (const auto json = nlohmann::json::parse(line); json.at("event") == "fault") {
        EXPECT_TRUE(!workers || json.at("worker").is_number()) << line;
        texts.push_back(json.at("text"));
      }
    return texts;
  }
  void expect_whole(const RunSummary& summary) const {
    EXPECT_EQ(summary.steps, options.steps * options.workers)
        << "a step that failed goes to others";
    EXPECT_EQ(summary.ended_by, "steps");
    EXPECT_TRUE(std::isfinite(summary.test_error_leader));
    EXPECT_TRUE(std::isfinite(summary.test_error_mean));
    const auto leader =
        read_safetensors(options.directory / "leader.safetensors", network.layout()).value();
    for (const float value : leader) ASSERT_TRUE(std::isfinite(value));
  }

  const TemporaryFolder folder;
  caf::actor_system_config config;
  const Data data = open_data("synthetic:train=256,test=64").value();
  const Network network = Network::named("lenet", data.train->image, data.train->classes).value();
  RunOptions options;
};

TEST_F(ReplacementRun, AWorkerThatThrowsIsReplacedAndEveryStepIsTaken) {
  for (const bool barrier : {false, true}) {
    if (barrier) lockstep();
    fail_at("10:throw 30:memory");
    const auto summary = go();
    ASSERT_TRUE(summary) << summary.error().message;
    expect_whole(summary.value());
    const std::vector<std::string> all = faults();
    EXPECT_THAT(
        all, Contains(AllOf(HasSubstr("ended after"), HasSubstr("the device is lost"))).Times(1));
    EXPECT_THAT(all,
                Contains(AllOf(HasSubstr("ended after"), HasSubstr("out of memory"))).Times(1));
    EXPECT_THAT(all, Contains(HasSubstr("was replaced (1 of 3 times)")));
    EXPECT_THAT(all, Not(Contains(HasSubstr("waited in vain"))));
    if (barrier) {
      EXPECT_EQ(all.size(), 4u) << "two ends, two replacements";
    }
  }
}

TEST_F(ReplacementRun, EasgdAndDianaGoOnWithWhoReplacesTheDead) {
  options.tau_global = RunOptions{}.tau_global;
  options.score_window = RunOptions{}.score_window;
  for (const char* protocol : {"easgd", "diana"}) {
    options.protocol = protocol;
    if (options.protocol == "diana") options.tau = RunOptions{}.tau;
    fail_at("10:throw 30:throw");
    const auto summary = go();
    ASSERT_TRUE(summary) << protocol << ": " << summary.error().message;
    EXPECT_TRUE(std::isfinite(summary.value().test_error_leader));
    EXPECT_THAT(faults(), Contains(HasSubstr("was replaced (1 of 3 times)"))) << protocol;
    EXPECT_THAT(faults(), Not(Contains(HasSubstr("waited in vain")))) << protocol;
    if (options.protocol == "easgd") {
      EXPECT_EQ(summary.value().steps, 160u);
    }
  }
}

TEST_F(ReplacementRun, WithoutRestartsTheOthersTakeTheSteps) {
  options.restarts = 0;
  fail_at("10:throw");
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  expect_whole(summary.value());
  EXPECT_EQ(faults().size(), 1u);
}

TEST_F(ReplacementRun, WhoIsGivenUpHasNoSayInTheMean) {
  options.groups = 1;
  options.workers = 2;
  options.restarts = 0;
  options.evaluate_every = 1e6;
  fail_at("20:throw");
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  expect_whole(summary.value());
  std::map<std::string, double> loss;
  std::ifstream file(options.directory / "metrics.jsonl");
  for (std::string line; std::getline(file, line);)
    if (const auto json = nlohmann::json::parse(line); json.at("event") == "evaluate")
      loss[json.at("of")] = json.at("test_loss");
  EXPECT_EQ(loss.at("mean"), loss.at("leader")) << "of the only one that is left";
}

TEST_F(ReplacementRun, WhenNobodyIsLeftTheRunIsAnErrorThatSaysWhereToLook) {
  options.restarts = 1;
  fail_at("0:throw");
  const auto summary = go();
  ASSERT_FALSE(summary);
  EXPECT_THAT(summary.error().message,
              AllOf(HasSubstr("every worker has ended"), HasSubstr("metrics.jsonl")));
  const std::vector<std::string> all = faults();
  EXPECT_THAT(all, Contains(HasSubstr("ended after 0 steps: the device is lost")).Times(8));
  EXPECT_THAT(all, Contains(HasSubstr("was replaced (1 of 1 times)")).Times(4));
  EXPECT_THAT(all, Contains(HasSubstr("is given up: it was replaced 1 times")).Times(4));
  EXPECT_EQ(all.size(), 16u);
}

TEST_F(ReplacementRun, AReplacementThatCannotBeBuiltCountsAndTheNextOneComes) {
  lockstep();
  fail_at("10:throw", "5");
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  expect_whole(summary.value());
  EXPECT_THAT(faults(), testing::ElementsAre(HasSubstr("the device is lost"),
                                             AllOf(HasSubstr("could not be replaced"),
                                                   HasSubstr("no room on the device")),
                                             HasSubstr("was replaced (2 of 3 times)")));
}

TEST_F(ReplacementRun, ALossThatIsNotFiniteTakesTheWorkerToTheLeader) {
  for (const bool barrier : {false, true}) {
    if (barrier) lockstep();
    fail_at("40:loss 60:gradient");
    const auto summary = go();
    ASSERT_TRUE(summary) << summary.error().message;
    expect_whole(summary.value());
    EXPECT_EQ(summary.value().events.at("began_again"), 2u);
    const std::vector<std::string> all = faults();
    EXPECT_THAT(all, Contains(AllOf(HasSubstr("its loss is not finite"),
                                    HasSubstr("it begins again from version"))));
    EXPECT_EQ(all.size(), 2u);
  }
}

TEST_F(ReplacementRun, AnUpdateThatTheDeviceTakesAlongChangesNoBit) {  // RH-8
  lockstep();
  options.workers = options.groups = 1;
  options.schedule = {.annealing = Annealing::cosine, .warm_up = 0.3};  // a rate for each step
  fail_at("6:loss 12:gradient 13:loss");
  const auto leader = [&](const char* updates) {
    ::setenv("FAILING_UPDATES", updates, 1);
    const auto summary = go();
    EXPECT_TRUE(summary) << summary.error().message;
    if (!summary) return std::vector<float>{};
    expect_whole(summary.value());
    EXPECT_GE(summary.value().events.at("began_again"), 2u);
    return read_safetensors(options.directory / "leader.safetensors", network.layout()).value();
  };
  const std::vector<float> wanted = leader("");
  EXPECT_TRUE(leader("take") == wanted);
  options.clip_norm = 1e9;
  EXPECT_TRUE(leader("throw") == wanted) << "whose norm must be known takes the update behind";
  options.clip_norm = 0;
  options.restarts = 0;
  ::setenv("FAILING_UPDATES", "throw", 1);
  static_cast<void>(go());
  EXPECT_THAT(faults(), Contains(HasSubstr("an update in the step"))) << "the same without a norm";
}

TEST_F(ReplacementRun, RunningStatisticsThatAreNotFiniteGoWithTheLoss) {
  const Network resnet = Network::named("resnet20", data.train->image, 10).value();
  options.steps = 8;
  options.workers = options.groups = 1;
  fail_at("6:loss");
  fs::create_directories(options.directory);
  caf::actor_system system{config};
  RunControl control;
  const auto summary = run(system, options, resnet, data, control, nullptr);
  ASSERT_TRUE(summary) << summary.error().message;
  const auto leader =
      read_safetensors(options.directory / "leader.safetensors", resnet.layout()).value();
  for (const float value : leader) ASSERT_TRUE(std::isfinite(value));
  EXPECT_EQ(faults().size(), 1u);
}

TEST_F(ReplacementRun, WhatBeginsAgainAndAgainIsSaidOnceWithARemedy) {
  options.workers = options.groups = 1;
  options.steps = 30;
  fail_at("5:loss 6:loss 7:loss 8:loss 20:loss");
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().events.at("began_again"), 5u);
  const std::vector<std::string> all = faults();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_THAT(all[2], AllOf(HasSubstr("third time"), HasSubstr("a lower --lr than 0.01")));
}

// --patience auto: the deadline comes from the steps that were seen, far below the first one's 30 s.
TEST_F(ReplacementRun, AWaitForAWorkerThatStallsEndsByHowLongStepsTake) {
  ::setenv("FAILING_STALL", "20", 1);
  options.mode = Mode::barrier;
  options.tau = options.tau_global = 1;
  options.batch = 4;
  options.groups = 1;
  options.workers = 2;
  options.steps = 500;  // deadlines are asked for once a second: the stall comes later
  fail_at("800:stall");
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  expect_whole(summary.value());
  EXPECT_GT(summary.value().events.at("timeout"), 0u);
  const std::vector<std::string> all = faults_of_anyone();
  EXPECT_THAT(all, Contains(AllOf(HasSubstr("waited in vain"), HasSubstr("last heard"))));
  const std::string of = "the deadline was ";
  for (const std::string& text : all) {
    const std::size_t at = text.find(of);
    ASSERT_NE(at, std::string::npos) << text;
    const double deadline = std::stod(text.substr(at + of.size()));
    EXPECT_GE(deadline, 2) << text;
    EXPECT_LT(deadline, 20) << text;
  }
}

TEST_F(ReplacementRun, AnEngineThatIsNotBuiltInTimeIsTheRunsFailureAndNamed) {
  ::setenv("FAILING_STALL", "6", 1);
  ::setenv("STALLED_BUILDS", "2", 1);
  options.begin_within = 2;
  const auto summary = go();
  ::setenv("STALLED_BUILDS", "", 1);
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, std::errc::timed_out);
  EXPECT_THAT(summary.error().message,
              AllOf(HasSubstr("worker "), HasSubstr("has not built its engine within 2 s")));
  EXPECT_THAT(summary.error().message, HasSubstr("--begin-within"));
}

}  // namespace
}  // namespace paceline
