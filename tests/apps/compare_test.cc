// paceline compare, from outside: runs that are really made, killed and gone on with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/run_processes.h"
#include "apps/running_command.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kSmall{
    "--data", "synthetic:train=400,test=100", "--network", "cnn7", "--workers", "2", "--batch",
    "8"};

std::vector<std::string> compare_words(const std::string& folder, std::vector<std::string> more) {
  more.insert(more.begin(), {"compare", folder});
  more.insert(more.end(), kSmall.begin(), kSmall.end());
  return more;
}

std::string mistake(const std::vector<std::string>& words) {
  const Outcome outcome = run_paceline(words);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
  return outcome.errors;
}

TEST(Compare, ChoosesARateAndRunsTheSeedsOnce) {
  const TemporaryFolder folder;
  const auto words = compare_words(
      folder / "out", {"--protocols", "minibatch-sgd,sgd", "--rates", "0.01,1000000", "--seeds",
                       "1,2", "--grid-minutes", "0.02", "--minutes", "0.03", "--evaluate-every",
                       "0.4", "--json", "--csv", folder / "tests.csv"});
  const Outcome outcome = run_paceline(words);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  const auto results = nlohmann::json::parse(outcome.output).at("results");
  ASSERT_EQ(results.size(), 2u);
  for (const auto& r : results) {
    EXPECT_EQ(r.at("rate"), 0.01) << r;
    EXPECT_EQ(r.at("seeds"), nlohmann::json({1, 2}));
    EXPECT_TRUE(r.at("test_error_leader").at("mean").is_number());
    EXPECT_TRUE(r.at("bytes_per_parameter_step").is_number());
  }
  EXPECT_THAT(content(folder / "tests.csv"), HasSubstr("sgd,sgd,0.01,2,0,leader,"));
  const auto before = std::filesystem::last_write_time(folder / "out/sgd/seed-2/summary.json");
  ASSERT_EQ(run_paceline(words).exit_code, 0);  // CF-2
  EXPECT_EQ(std::filesystem::last_write_time(folder / "out/sgd/seed-2/summary.json"), before);
  const Outcome report = run_paceline({"compare", folder / "out", "--report"});
  EXPECT_THAT(report.output, HasSubstr("| minibatch-sgd "));
  EXPECT_THAT(
      mistake(compare_words(folder / "out", {"--protocols", "sgd", "--rates", "0.01,1000000",
                                             "--grid-minutes", "0.02", "--momentum", "0.5"})),
      HasSubstr("momentum = 0.9"));
}

TEST(Compare, KilledItGoesOnWithTheRunThatWasHalfDone) {
  const TemporaryFolder folder;
  const auto words = compare_words(folder / "out", {"--protocols", "lsgd", "--rates", "0.01",
                                                    "--seeds", "1,2", "--minutes", "0.05"});
  RunningCommand command(paceline_words(words));
  ASSERT_TRUE(command.wait_for_text("seed 1: ", kDeadline));
  ASSERT_TRUE(within_deadline(
      [&] { return std::filesystem::exists(folder / "out/lsgd/seed-2/metrics.jsonl"); }));
  const auto first = std::filesystem::last_write_time(folder / "out/lsgd/seed-1/summary.json");
  command.send(SIGKILL);
  command.wait(kDeadline);
  const std::string run = "--run=" + (folder / "out/lsgd/seed-2").string();
  EXPECT_TRUE(within_deadline([&] { return processes_with(run).empty(); })) << "its run goes on";
  EXPECT_FALSE(std::filesystem::exists(folder / "out/lsgd/seed-2/summary.json"));
  ASSERT_EQ(run_paceline({"compare", folder / "out"}).exit_code, 0);  // the plan is in the folder
  EXPECT_TRUE(std::filesystem::exists(folder / "out/lsgd/seed-2/summary.json"));
  EXPECT_EQ(std::filesystem::last_write_time(folder / "out/lsgd/seed-1/summary.json"), first);
}

TEST(Compare, WhatIsWrongIsOneClearMessage) {
  const TemporaryFolder folder;
  const auto with = [&](std::vector<std::string> more) {
    return mistake(compare_words(folder / "out", std::move(more)));
  };
  EXPECT_THAT(with({"--protocols", "lsgb", "--rates", "0.1"}), HasSubstr("'lsgd'"));
  EXPECT_THAT(with({"--protocols", "admm", "--rates", "0.1"}), HasSubstr("simulator"));
  EXPECT_THAT(with({"--protocols", "lsgd"}), HasSubstr("--rates"));
  EXPECT_THAT(with({"--protocols", "lsgd", "--rates", "0.1", "--lr", "1"}), HasSubstr("--rates"));
  EXPECT_THAT(with({"--protocols", "lsgd", "--rates", "0.1,,1"}), HasSubstr("empty"));
  EXPECT_THAT(with({"--protocols", "lsgd", "--rates", "0.1", "--only", "easgd"}),
              HasSubstr("--only"));
  EXPECT_THAT(with({}), HasSubstr("--protocols"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  std::ofstream(folder / "mine.txt") << "mine";
  EXPECT_THAT(mistake(compare_words(folder.path(), {"--protocols", "lsgd", "--rates", "0.1"})),
              HasSubstr("no comparison"));
}

}  // namespace
}  // namespace paceline
