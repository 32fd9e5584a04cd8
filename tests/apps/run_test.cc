// Small trainings from end to end, as a user starts, stops and looks at them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/running_command.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Words = std::vector<std::string>;

constexpr std::chrono::seconds kDeadline{600};
const std::string kData = "synthetic:train=512,test=256";
const Words kFiles{"config.ini", "leader.safetensors", "metrics.jsonl", "summary.json"};

Words small_run(const std::string& directory, const Words& more) {
  Words words{"train", "--data", kData, "--network", "lenet", "--batch", "16", "--run", directory};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

void expect_metrics(const std::filesystem::path& file) {
  std::istringstream lines(content(file));
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const json object = json::parse(line, nullptr, false);
    ASSERT_FALSE(object.is_discarded()) << line;
    EXPECT_EQ(object.at("v"), 1);
    EXPECT_TRUE(object.at("t").is_number());
    EXPECT_TRUE(object.at("event").is_string());
  }
  EXPECT_GT(count, 0U);
}

TEST(Run, LeavesACompleteDirectory) {
  const TemporaryFolder folder;
  const Outcome outcome =
      run_paceline(small_run(folder / "run", {"--steps", "30", "--workers", "2", "--groups", "2",
                                              "--seed", "5", "--json"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_EQ(listing(folder / "run"), kFiles);
  expect_metrics(folder / "run/metrics.jsonl");

  const json summary = json::parse(content(folder / "run/summary.json"));
  EXPECT_EQ(json::parse(outcome.output), summary) << "--json prints what summary.json holds";
  for (const char* key : {"test_error_leader", "test_error_mean", "wall_seconds", "train_seconds",
                          "images_per_second", "steps", "leader_changes", "coordination_fraction",
                          "evaluation_cpu_seconds", "seed"}) {
    EXPECT_TRUE(summary.at(key).is_number()) << key;
  }
  EXPECT_EQ(summary.at("steps"), 60);
  EXPECT_EQ(summary.at("seed"), 5);
  EXPECT_GE(summary.at("test_error_leader"), 0.0);
  EXPECT_LE(summary.at("test_error_leader"), 1.0);
  EXPECT_GE(summary.at("coordination_fraction"), 0.0);
  EXPECT_LE(summary.at("coordination_fraction"), 1.0);

  // What eval finds in the file is what the run said about it.
  const Outcome eval = run_paceline({"eval", folder / "run/leader.safetensors", "--json"});
  ASSERT_EQ(eval.exit_code, 0) << eval.errors;
  const json tested = json::parse(eval.output);
  EXPECT_EQ(tested.at("images"), 256);
  EXPECT_DOUBLE_EQ(tested.at("test_error"), summary.at("test_error_leader"));

  // A second run does not go where the first one lies.
  const Outcome again = run_paceline(small_run(folder / "run", {"--steps", "1"}));
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_EQ(json::parse(content(folder / "run/summary.json")), summary);
}

TEST(Run, SaysWhatItDoesAndWhereToLook) {
  const TemporaryFolder folder;
  const Outcome outcome = run_paceline(small_run(folder / "run", {"--steps", "2"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_THAT(outcome.errors, IsEmpty());
  for (const std::string& part :
       {std::string("lenet"), std::string("parameters"), std::string("test error"),
        "paceline eval " + (folder / "run/leader.safetensors").string()}) {
    EXPECT_THAT(outcome.output, HasSubstr(part));
  }
}

TEST(Run, EvaluatesSnapshotsAfterwardsWhenAsked) {
  const TemporaryFolder folder;
  const Outcome outcome =
      run_paceline(small_run(folder / "run", {"--steps", "20", "--evaluate", "after",
                                              "--evaluate-every", "0.05", "--json"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_TRUE(json::parse(outcome.output).at("test_error_leader").is_number());
  EXPECT_EQ(listing(folder / "run"), kFiles);
}

TEST(Run, EndsCompleteWith130AfterOneInterrupt) {
  const TemporaryFolder folder;
  RunningCommand child(paceline_words(small_run(folder / "run", {"--minutes", "10"})));
  ASSERT_TRUE(child.wait_for_text("images/s", kDeadline));  // the first line of progress
  child.send(SIGINT);
  const Outcome outcome = child.wait(kDeadline);
  EXPECT_FALSE(outcome.overdue);
  EXPECT_EQ(outcome.exit_code, 130) << outcome.errors;
  EXPECT_EQ(listing(folder / "run"), kFiles);
  expect_metrics(folder / "run/metrics.jsonl");
  EXPECT_EQ(json::parse(content(folder / "run/summary.json")).at("ended_by"), "interrupt");
  EXPECT_EQ(run_paceline({"eval", folder / "run/leader.safetensors"}).exit_code, 0);
}

TEST(Run, EndsAtOnceWith130AfterTwoInterrupts) {
  const TemporaryFolder folder;
  // So many test images that the end of the run, which tests them, is seconds away.
  Words words = small_run(folder / "run", {"--minutes", "10"});
  std::ranges::replace(words, kData, std::string("synthetic:train=512,test=20000"));
  RunningCommand child(paceline_words(words));
  ASSERT_TRUE(child.wait_for_text("images/s", kDeadline));
  child.send(SIGTERM);
  ASSERT_TRUE(child.wait_for_text("once more ends at once", kDeadline));
  child.send(SIGTERM);
  const Outcome outcome = child.wait(kDeadline);
  EXPECT_EQ(outcome.exit_code, 130);
  EXPECT_THAT(listing(folder / "run"), Not(Contains("summary.json")));
}

TEST(Run, GivesTheSameBitsForTheSameSeedWhenDeterministic) {
  const TemporaryFolder folder;
  const Words options{"--steps", "20",      "--workers",      "4", "--groups", "2",
                      "--mode",  "barrier", "--deterministic"};
  for (const char* run : {"a", "b"}) {
    const Outcome outcome = run_paceline(small_run(folder / run, options));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  }
  EXPECT_EQ(content(folder / "a/leader.safetensors"), content(folder / "b/leader.safetensors"));

  Words other = options;
  other.insert(other.end(), {"--seed", "2"});
  ASSERT_EQ(run_paceline(small_run(folder / "c", other)).exit_code, 0);
  EXPECT_NE(content(folder / "a/leader.safetensors"), content(folder / "c/leader.safetensors"));
}

TEST(Run, RepeatsFromItsSavedConfiguration) {
  const TemporaryFolder folder;
  const Words options{"--steps", "10", "--mode", "barrier", "--deterministic", "--seed", "7"};
  ASSERT_EQ(run_paceline(small_run(folder / "a", options)).exit_code, 0);
  const Outcome again =
      run_paceline({"train", "--config", folder / "a/config.ini", "--run", folder / "b"});
  ASSERT_EQ(again.exit_code, 0) << again.errors;
  EXPECT_EQ(content(folder / "a/leader.safetensors"), content(folder / "b/leader.safetensors"));
  EXPECT_EQ(content(folder / "a/config.ini"), content(folder / "b/config.ini"));
}

}  // namespace
}  // namespace paceline
