// Runs that are interrupted or killed, and go on, as their user does it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "apps/running_command.h"
#include "temporary_folder.h"
#include "test_seed.h"

namespace paceline {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

constexpr std::chrono::seconds kDeadline{600};

Words small_run(const std::string& directory, const Words& more) {
  Words words{"train",     "--data", "synthetic:train=256,test=64",
              "--network", "lenet",  "--batch",
              "8",         "--run",  directory};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}
const Words kDeterministic{"--mode", "barrier", "--deterministic", "--tau", "2",
                           "--tau-global", "4"};
Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::vector<json> checkpoints(const std::filesystem::path& run) {
  std::vector<json> lines;
  std::istringstream all(content(run / "metrics.jsonl"));
  for (std::string line; std::getline(all, line);) {
    const json object = json::parse(line, nullptr, false);
    EXPECT_FALSE(object.is_discarded()) << line;
    if (!object.is_discarded() && object.at("event") == "checkpoint") lines.push_back(object);
  }
  return lines;
}

/// The newest under its final name; empty while there is none.
std::string newest_checkpoint(const std::filesystem::path& run) {
  std::string newest;
  for (const std::string& name : listing(run / "checkpoints"))
    if (name.starts_with("step-")) newest = name;
  return newest;
}

/// Waits for another one than `before`.
bool wait_for_checkpoint(const std::filesystem::path& run, const std::string& before = {}) {
  const auto until = std::chrono::steady_clock::now() + kDeadline;
  while (std::chrono::steady_clock::now() < until) {
    if (newest_checkpoint(run) != before) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

TEST(Resume, AnInterruptedRunGoesOnWhereItWas) {
  const TemporaryFolder folder;
  RunningCommand child(paceline_words(
      small_run(folder / "run", {"--minutes", "10", "--checkpoint-every", "10m"})));
  ASSERT_TRUE(child.wait_for_text("images/s", kDeadline));
  child.send(SIGINT);
  const Outcome stopped = child.wait(kDeadline);
  ASSERT_EQ(stopped.exit_code, 130) << stopped.errors;
  EXPECT_THAT(stopped.output, HasSubstr("--resume " + (folder / "run").string()));
  const json before = json::parse(content(folder / "run/summary.json"));
  ASSERT_EQ(checkpoints(folder / "run").size(), 1u);
  EXPECT_EQ(checkpoints(folder / "run")[0].at("steps"), before.at("steps"));
  const std::string saved = checkpoints(folder / "run")[0].at("path");
  EXPECT_EQ(run_paceline({"eval", saved + "/leader.safetensors"}).exit_code, 0);

  const std::uint64_t steps = before.at("steps").get<std::uint64_t>() / 2 + 20;
  const Outcome resumed = run_paceline(
      {"train", "--resume", folder / "run", "--steps", std::to_string(steps), "--json"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.errors;
  const json after = json::parse(content(folder / "run/summary.json"));
  EXPECT_EQ(after.at("steps"), 2 * steps);
  EXPECT_GT(after.at("train_seconds"), before.at("train_seconds"));
  const auto events = checkpoints(folder / "run");
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1].at("resumed"), true);
  EXPECT_EQ(events[1].at("steps"), before.at("steps"));

  const Outcome finished = run_paceline({"train", "--resume", folder / "run"});
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_THAT(finished.errors, HasSubstr("larger budget"));
}

TEST(Resume, WhatContradictsTheRunIsRefusedInOneLine) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_paceline(small_run(folder / "run", {"--steps", "8", "--checkpoint-every", "8"}))
                .exit_code,
            0);
  const std::string run = folder / "run";
  const std::vector<std::pair<Words, std::string>> refusals{
      {{"--network", "cnn7"}, "--network"},
      {{"--protocol", "easgd"}, "--protocol"},
      {{"--data", "synthetic:seed=2"}, "--data"},
      {{"--run", folder / "other"}, "--run"},
      {{"--steps", "4"}, "larger budget"}};
  for (const auto& [words, named] : refusals) {
    const Outcome outcome = run_paceline(with({"train", "--resume", run}, words));
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.errors, HasSubstr(named));
    EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
  }
  EXPECT_THAT(run_paceline({"train", "--resume", folder / "nothing"}).errors,
              HasSubstr("holds no run"));
  ASSERT_EQ(run_paceline(small_run(folder / "bare", {"--steps", "8"})).exit_code, 0);
  EXPECT_THAT(run_paceline({"train", "--resume", folder / "bare", "--steps", "9"}).errors,
              HasSubstr("--checkpoint-every"));
}

TEST(Resume, ADeterministicRunThatWasKilledEndsWithTheBitsOfOneThatWasNot) {
  const TemporaryFolder folder;
  for (const char* groups : {"1", "2"}) {
    const std::string whole = folder / (std::string("whole") + groups),
                      parts = folder / (std::string("parts") + groups);
    const Words options =
        with(kDeterministic, {"--steps", "200", "--groups", groups, "--workers", "2"});
    ASSERT_EQ(run_paceline(small_run(whole, options)).exit_code, 0);
    RunningCommand child(
        paceline_words(small_run(parts, with(options, {"--checkpoint-every", "8"}))));
    ASSERT_TRUE(wait_for_checkpoint(parts));
    child.send(SIGKILL);
    child.wait(kDeadline);
    const Outcome resumed = run_paceline({"train", "--resume", parts});
    ASSERT_EQ(resumed.exit_code, 0) << resumed.errors;
    EXPECT_EQ(content(std::filesystem::path(whole) / "leader.safetensors"),
              content(std::filesystem::path(parts) / "leader.safetensors"));
  }
}

/// PACELINE_KILLS says how often; a few otherwise.
TEST(Resume, KilledAtRandomMomentsARunAlwaysGoesOnFromAWholeCheckpoint) {
  const char* given = std::getenv("PACELINE_KILLS");
  const int kills = given ? std::atoi(given) : 4;
  std::mt19937 random(test_seed());
  const TemporaryFolder folder;
  const std::filesystem::path run = folder / "run";
  // Milliseconds apart, so that most moments are in the middle of one.
  Words words = small_run(run, {"--minutes", "60", "--checkpoint-every", "0.01s", "--quiet"});
  std::uint64_t steps = 0;
  for (int kill = 0; kill < kills; ++kill) {
    const std::string before = newest_checkpoint(run);
    RunningCommand child(paceline_words(words));
    // Among checkpoints, or (one in four) at its very beginning.
    if (kill == 0 || random() % 4 != 0) {
      ASSERT_TRUE(wait_for_checkpoint(run, before));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 500));
    child.send(SIGKILL);
    const Outcome killed = child.wait(kDeadline);
    ASSERT_EQ(killed.signal, SIGKILL) << killed.errors;
    EXPECT_THAT(killed.errors, testing::Not(HasSubstr("damaged"))) << killed.errors;
    words = {"train", "--resume", run, "--quiet"};
  }
  const Outcome ended = run_paceline({"train", "--resume", run, "--minutes", "0.5", "--json",
                                      "--checkpoint-every", "1h"});
  // A run that has trained for half a minute already says so.
  if (ended.exit_code == 2) {
    EXPECT_THAT(ended.errors, HasSubstr("larger budget"));
  } else {
    ASSERT_EQ(ended.exit_code, 0) << ended.errors;
  }
  for (const json& line : checkpoints(run)) {
    if (line.at("resumed") != true) continue;
    EXPECT_GE(line.at("steps").get<std::uint64_t>(), steps) << "never from an older one";
    steps = line.at("steps").get<std::uint64_t>();
    const std::string path = line.at("path");
    EXPECT_EQ(path.find(".tmp"), std::string::npos);
  }
  EXPECT_GT(steps, 0u);
  for (const std::string& name : listing(run / "checkpoints"))
    EXPECT_FALSE(name.starts_with("damaged")) << name;
}

}  // namespace
}  // namespace paceline
