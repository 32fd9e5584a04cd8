// `paceline bench step`, as its user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "apps/running_command.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kSmall =
    "image 3x16x16\nconv 16 3x3 pad 1\nbn\nrelu\nmaxpool 4x4\nlinear classes\n";

TEST(BenchStep, SaysOfEveryOperationHowNearItComesToTheMachine) {
  const TemporaryFolder folder;
  std::ofstream(folder / "small.net") << kSmall;
  const Outcome outcome = run_paceline({"bench", "step", "--network", folder / "small.net",
                                        "--batch", "8", "--threads", "2", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  const auto json = nlohmann::json::parse(outcome.output);
  EXPECT_EQ(json.at("network"), "small");
  EXPECT_EQ(json.at("image"), nlohmann::json({3, 16, 16}));
  EXPECT_EQ(json.at("batch"), 8);
  EXPECT_EQ(json.at("threads"), 2);
  EXPECT_THAT(json.at("device").get<std::string>(), HasSubstr("CPU: "));
  EXPECT_EQ(json.at("precision"), "f32");
  EXPECT_GT(json.at("update_milliseconds"), 0);
  EXPECT_GT(json.at("flops_per_second_peak"), 0);
  EXPECT_GT(json.at("bytes_per_second_peak"), 0);
  EXPECT_NEAR(json.at("images_per_second").get<double>(),
              8e3 / json.at("milliseconds").get<double>(), 1e-3);

  std::set<std::string> found;
  double share = 0, seconds = 0, floor = 0;
  for (const auto& operation : json.at("operations")) {
    const std::string name = operation.at("name"), pass = operation.at("pass");
    if (operation.at("kind") != "reorder") found.insert(name + " " + pass);
    EXPECT_GE(operation.at("seconds"), 0) << name;
    EXPECT_EQ(operation.at("kind") == "reorder", operation.at("how") == "reorder");
    EXPECT_EQ(operation.at("kind") == "reorder", operation.at("roofline_seconds") == 0.0) << name;
    share += operation.at("share").get<double>();
    seconds += operation.at("seconds").get<double>();
    floor += operation.at("roofline_seconds").get<double>();
    if (name == "conv1" && pass == "forward" && operation.at("kind") == "conv") {
      EXPECT_EQ(operation.at("flops"), 2.0 * 8 * 16 * 16 * 16 * 3 * 3 * 3);
    }
    if (name == "update") {
      // conv and its bias, BatchNorm's two, 256 x 10 and biases of the linear layer; x and momentum
      // twice, the gradient once. Tensors may be padded.
      EXPECT_GE(operation.at("bytes"), 20.0 * (16 * 27 + 16 + 32 + 2560 + 10));
    }
  }
  for (const char* expected : {"conv1 forward", "conv1 backward weights", "bn1 forward",
                               "bn1 backward", "pool1 forward", "pool1 backward", "fc1 forward",
                               "fc1 backward data", "fc1 backward weights", "update update"}) {
    EXPECT_TRUE(found.contains(expected)) << expected;
  }
  EXPECT_NEAR(share, 1, 1e-6);
  EXPECT_NEAR(json.at("operations_seconds").get<double>(), seconds, 1e-9);
  EXPECT_NEAR(json.at("roofline_seconds").get<double>(), floor, 1e-9);
  EXPECT_GT(json.at("times_roofline"), 0);
}

TEST(BenchStep, ATableForPeople) {
  const TemporaryFolder folder;
  std::ofstream(folder / "small.net") << kSmall;
  const Outcome outcome =
      run_paceline({"bench", "step", "--network", folder / "small.net", "--batch", "8"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("small: 8 images of 3x16x16 a step"), HasSubstr("conv1"),
                    HasSubstr("GB/s from and to memory"), HasSubstr("images/s")));
}

TEST(BenchStep, OfADeviceThatTellsNoCostsTheSpeedAlone) {
  const TemporaryFolder folder;
  std::ofstream(folder / "tiny.net") << "image 3x6x6\nlinear classes\n";
  const std::vector<std::string> words{"bench",    "step",      "--network", folder / "tiny.net",
                                       "--device", "reference", "--batch",   "4"};
  std::vector<std::string> json_words = words;
  json_words.emplace_back("--json");
  const Outcome outcome = run_paceline(json_words);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  const auto json = nlohmann::json::parse(outcome.output);
  EXPECT_THAT(json.at("device").get<std::string>(), HasSubstr("reference"));
  EXPECT_EQ(json.at("raw"), true);
  EXPECT_EQ(json.at("staged"), false);
  EXPECT_GT(json.at("images_per_second"), 0);
  EXPECT_FALSE(json.contains("operations"));
  EXPECT_FALSE(json.contains("flops_per_second_peak"));
  EXPECT_THAT(run_paceline(words).output,
              AllOf(HasSubstr("reference: plain loops"), HasSubstr("of which the update"),
                    HasSubstr("images/s")));
}

TEST(BenchStep, OnRequestEachLineIsAnsweredWithItsSteps) {
  const TemporaryFolder folder;
  std::ofstream(folder / "small.net") << kSmall;
  RunningCommand child({"sh", "-c",
                        "printf 'a\\n\\nlast' | " + std::string(PACELINE_PROGRAM) +
                            " bench step --batch 8 --on-request 4 --network " +
                            (folder / "small.net").string()});
  const Outcome outcome = child.wait(std::chrono::seconds(60));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  std::istringstream lines(outcome.output);
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(nlohmann::json::parse(line).at("batch"), 8);
  for (int answer = 0; answer < 3; ++answer) {
    ASSERT_TRUE(std::getline(lines, line));
    const auto seconds = nlohmann::json::parse(line).at("seconds");
    EXPECT_EQ(seconds.size(), 4U);
    for (const auto& s : seconds) EXPECT_GT(s, 0);
  }
  EXPECT_FALSE(std::getline(lines, line)) << line;
}

TEST(BenchStep, WhatCannotBeMeasuredIsOneLine) {
  struct Case {
    std::vector<std::string> words;
    const char* says;
  };
  for (const Case& c :
       {Case{{"--batch", "0"}, "--batch"}, Case{{"--batch", "many"}, "--batch"},
        Case{{"--threads", "0"}, "--threads"}, Case{{"--on-request", "-1"}, "--on-request"},
        Case{{"--network", "resnet50", "--batch", "65536"}, "give a smaller one"},
        Case{{"--network", "resnet21"}, "resnet20"}}) {
    std::vector<std::string> words{"bench", "step"};
    words.insert(words.end(), c.words.begin(), c.words.end());
    const Outcome outcome = run_paceline(words);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.errors;
    EXPECT_THAT(outcome.output, IsEmpty());
    EXPECT_THAT(outcome.errors, AllOf(HasSubstr("paceline bench: "), HasSubstr(c.says)));
    EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
  }
}

}  // namespace
}  // namespace paceline
