// paceline lab and paceline protocols, from outside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "apps/running_command.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using ::testing::HasSubstr;

std::string mistake(const std::vector<std::string>& words) {
  const Outcome outcome = run_paceline(words);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
  return outcome.errors;
}

TEST(Lab, ComparesProtocolsOnFilesAndWritesResultsAndSamples) {
  const TemporaryFolder folder;
  for (const char* name : {"a.csv", "b.csv"})
    std::ofstream(folder / name) << "1,0,1\n0,1,2\n1,1," << name[0] - 'a' << "\n";
  const Outcome outcome = run_paceline({"lab", "--protocols", "minibatch-sgd,diana,easgd", "--data",
                                        folder / "a.csv", folder / "b.csv", "--sweep", "tau=1,4",
                                        "--reference", "--json", "--csv", folder / "samples.csv"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  const auto results = nlohmann::json::parse(outcome.output).at("results");
  ASSERT_EQ(results.size(), 4u);  // tau means something to easgd alone
  for (const auto& r : results)
    for (const char* key :
         {"protocol", "iterations", "virtual_seconds", "bytes", "objective", "distance_squared"})
      EXPECT_TRUE(r.contains(key)) << key;
  EXPECT_LT(results[0].at("distance_squared").get<double>(), 1e-24);
  EXPECT_LT(results[1].at("distance_squared").get<double>(), 1e-20);
  EXPECT_EQ(results[3].at("swept").at("tau"), "4");
  std::ifstream samples(folder / "samples.csv");
  std::string head;
  std::getline(samples, head);
  EXPECT_THAT(head, HasSubstr("distance_squared"));
}

TEST(Lab, WhatIsWrongIsOneClearMessage) {
  const TemporaryFolder folder;
  std::ofstream(folder / "ragged.csv") << "1,2,3\n1,2\n";
  std::ofstream(folder / "nan.csv") << "1,nan,3\n";
  EXPECT_THAT(mistake({"lab", "--protocols", "esgd"}), HasSubstr("esgd"));
  EXPECT_THAT(mistake({"lab", "--protocols", "easgd", "a.csv"}), HasSubstr("--data"));
  EXPECT_THAT(mistake({"lab"}), HasSubstr("paceline protocols"));
  EXPECT_THAT(mistake({"lab", "--protocols", "easgd", "--objective", "circle"}),
              HasSubstr("circle"));
  EXPECT_THAT(mistake({"lab", "--protocols", "easgd", "--sweep", "taus=1"}), HasSubstr("taus"));
  EXPECT_THAT(mistake({"lab", "--protocols", "easgd", "--set", "beta=99"}), HasSubstr("beta"));
  EXPECT_THAT(mistake({"lab", "--protocols", "easgd", "--workers", "5", "--groups", "2"}),
              HasSubstr("--groups 2"));
  EXPECT_THAT(mistake({"lab", "--protocols", "easgd", "--data", folder / "ragged.csv"}),
              HasSubstr("line 2"));
  EXPECT_THAT(mistake({"lab", "--protocols", "easgd", "--data", folder / "nan.csv"}),
              HasSubstr("nan"));
  EXPECT_THAT(mistake({"lab", "--protocols", "lgd", "--objective", "double-well", "--reference"}),
              HasSubstr("--reference"));
}

/// Of LeNet on 64 images, 4 workers in 2 groups.
std::vector<std::string> network_words(const std::vector<std::string>& more) {
  std::vector<std::string> words = {"lab",
                                    "--objective",
                                    "cnn",
                                    "--network",
                                    "lenet",
                                    "--data",
                                    "synthetic:train=64,test=32",
                                    "--workers",
                                    "4",
                                    "--groups",
                                    "2",
                                    "--batch",
                                    "8",
                                    "--iterations",
                                    "20",
                                    "--lr",
                                    "0.02"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(Lab, ANetworkOnDataIsAnObjectiveUnderFaultsAndSweepsLikeTheOthers) {
  const TemporaryFolder folder;
  const Outcome outcome = run_paceline(network_words(
      {"--protocols", "lsgd,easgd,sgd", "--sweep", "tau=2,4", "--every", "10", "--crash", "1@8+5",
       "--latency-us", "50", "--patience-ms", "20", "--json", "--csv", folder / "samples.csv"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  const auto all = nlohmann::json::parse(outcome.output);
  EXPECT_TRUE(all.at("smoothness").is_null());
  const auto& results = all.at("results");
  ASSERT_EQ(results.size(), 6u);
  for (const auto& r : results) {
    EXPECT_EQ(r.at("iterations"), 20);
    EXPECT_EQ(r.at("gradient_evaluations"), r.at("protocol") == "sgd" ? 20 : 80);
    EXPECT_LT(r.at("objective").get<double>(), std::log(10));  // at first about that
    EXPECT_LE(r.at("test_error").get<double>(), 1);
    EXPECT_TRUE(r.at("distance_squared").is_null());
    EXPECT_GE(r.at("virtual_seconds").get<double>(), 0.02);
  }
  std::ifstream samples(folder / "samples.csv");
  std::string line;
  int lines = 0, tested = 0;
  while (std::getline(samples, line)) ++lines, tested += !line.ends_with(',');
  EXPECT_GT(lines, 6 * 3);
  EXPECT_EQ(tested, lines);
}

TEST(Lab, ANetworksStepIsItsOwnWhereNoneIsGiven) {
  auto words = network_words({"--protocols", "sgd", "--json"});
  words.erase(words.end() - 5, words.end() - 3);  // --lr
  const auto result = nlohmann::json::parse(run_paceline(words).output).at("results").at(0);
  EXPECT_EQ(result.at("learning_rate_from"), "the network's");
  EXPECT_GT(result.at("learning_rate").get<double>(), 0);
}

TEST(Lab, WhatMeansNothingToAnObjectiveIsOneClearMessage) {
  const auto said = [](const std::vector<std::string>& more) {
    return mistake(network_words(more));
  };
  EXPECT_THAT(said({"--protocols", "lsgd", "--reference"}), HasSubstr("--reference"));
  EXPECT_THAT(said({"--protocols", "lsgd", "--spread", "2"}), HasSubstr("--spread means nothing"));
  EXPECT_THAT(said({"--protocols", "lsgd", "--shard", "equally"}), HasSubstr("--shard"));
  EXPECT_THAT(said({"--protocols", "lsgd", "b.csv"}), HasSubstr("'b.csv'"));
  const auto other = [](const char* objective, const char* option, const char* value) {
    return mistake({"lab", "--protocols", "lsgd", "--objective", objective, option, value});
  };
  EXPECT_THAT(other("quadratic", "--network", "lenet"), HasSubstr("--network means nothing"));
  EXPECT_THAT(other("quadratic", "--batch", "8"), HasSubstr("--batch means nothing"));
  EXPECT_THAT(other("double-well", "--data", "a.csv"), HasSubstr("--data means nothing"));
  EXPECT_THAT(other("cnn", "--network", "lenett"), HasSubstr("--network"));
  EXPECT_THAT(other("cnn", "--data", "a.csv"), HasSubstr("a.csv"));
}

TEST(Lab, WorkersCrashAreReplacedAndJoinAndGroupsArePartedAtGivenTimes) {
  const std::vector<std::string> plain = {"lab",
                                          "--protocols",
                                          "lsgd,easgd,sgd",
                                          "--workers",
                                          "4",
                                          "--groups",
                                          "2",
                                          "--json",
                                          "--iterations",
                                          "200",
                                          "--patience-ms",
                                          "20",
                                          "--latency-us",
                                          "50"};
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), plain.begin(), plain.end());
    const Outcome outcome = run_paceline(more);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
    return nlohmann::json::parse(outcome.output).at("results");
  };
  const auto whole = run({}), crashed = run({"--crash", "1@50"});
  const auto replaced = run({"--crash", "1@50+20"}), joined = run({"--join", "4@50"});
  for (const int protocol : {0, 1}) {
    const auto steps = [&](const nlohmann::json& results) {
      return results[protocol].at("gradient_evaluations").get<std::uint64_t>();
    };
    EXPECT_EQ(steps(whole), 800u);
    EXPECT_NEAR(static_cast<double>(steps(crashed)), 650, 5);
    EXPECT_EQ(steps(replaced), 800u);  // who replaces it takes what it has left
    EXPECT_EQ(steps(joined), 1000u);
  }
  EXPECT_EQ(crashed[2].at("gradient_evaluations"), 200);  // alone: nobody to crash but worker 0
  EXPECT_GT(run({"--partition", "1@20-100"})[0].at("timeouts"), whole[0].at("timeouts"));
}

TEST(Lab, AnInterruptEndsItWithWhatThereIs) {
  RunningCommand command(
      paceline_words({"lab", "--protocols", "lsgd", "--workers", "100", "--iterations", "1000000",
                      "--stagnation", "0", "--json"}));
  std::this_thread::sleep_for(std::chrono::seconds(2));
  command.send(SIGINT);
  const Outcome outcome = command.wait(std::chrono::seconds(120));
  EXPECT_EQ(outcome.exit_code, 130) << outcome.errors;
  EXPECT_TRUE(nlohmann::json::parse(outcome.output)["results"][0]["interrupted"].get<bool>());
}

TEST(Lab, ImpossibleFaultsAreOneClearMessage) {
  const auto said = [](const char* option, const char* value) {
    return mistake(
        {"lab", "--protocols", "lsgd", "--workers", "4", "--groups", "2", option, value});
  };
  EXPECT_THAT(said("--crash", "4@5"), HasSubstr("there are 0 to 3"));
  EXPECT_THAT(said("--crash", "1"), HasSubstr("WORKER@MS"));
  EXPECT_THAT(said("--join", "3@5"), HasSubstr("worker 3 has no seat"));
  EXPECT_THAT(said("--partition", "2@1-5"), HasSubstr("there are 0 to 1"));
  EXPECT_THAT(said("--partition", "1@5-5"), HasSubstr("ends before it begins"));
}

TEST(BenchSimulation, UnknownPointsAndSegmentsAreOneClearMessage) {
  EXPECT_THAT(mistake({"bench", "simulation", "--points", "grow"}), HasSubstr("growth"));
  EXPECT_THAT(mistake({"bench", "simulation", "--peer", "/paceline.none"}),
              HasSubstr("/paceline.none"));
}

TEST(Lab, ARunThatDivergesPrintsTheCommandThatMakesItAgain) {
  const std::vector<std::string> words = {
      "lab", "--protocols", "lsgd,easgd", "--objective", "quadratic",      "--workers",
      "4",   "--groups",    "2",          "--sweep",     "seed=7,8;tau=2", "--lr",
      "30",  "--json"};
  const auto all = nlohmann::json::parse(run_paceline(words).output).at("results");
  const auto& first = all.at(0);
  ASSERT_TRUE(first.at("diverged").get<bool>());
  std::vector<std::string> again;
  std::istringstream text(first.at("command").get<std::string>());
  for (std::string word; text >> word;) again.push_back(word);
  EXPECT_EQ(again.front(), "paceline");
  again.erase(again.begin());
  for (std::string& word : again) std::erase(word, '\'');
  EXPECT_THAT(run_paceline(again).output, HasSubstr("lsgd diverged: paceline lab"));
  again.push_back("--json");
  auto alone = nlohmann::json::parse(run_paceline(again).output).at("results").at(0);
  for (const char* key : {"iterations", "bytes", "virtual_seconds", "seed", "settings"})
    EXPECT_EQ(alone.at(key), first.at(key)) << key;
}

// The run's own files are the witness: what is replayed is saved beside them.
TEST(Lab, ReplaysARecordedRunToItsBits) {
  const TemporaryFolder folder;
  const std::string course = folder / "course", run = folder / "run", saved = folder / "saved";
  const Outcome trained = run_paceline({"train",
                                        "--data",
                                        "synthetic:train=256,test=64",
                                        "--network",
                                        "lenet",
                                        "--workers",
                                        "4",
                                        "--groups",
                                        "2",
                                        "--batch",
                                        "16",
                                        "--steps",
                                        "20",
                                        "--tau",
                                        "2",
                                        "--tau-global",
                                        "4",
                                        "--quiet",
                                        "--record",
                                        course,
                                        "--run",
                                        run});
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  const Outcome again = run_paceline({"lab", "--replay", course, "--json", "--save", saved});
  ASSERT_EQ(again.exit_code, 0) << again.errors << again.output;
  const auto result = nlohmann::json::parse(again.output);
  EXPECT_TRUE(result.at("same_bits").get<bool>()) << result;
  EXPECT_EQ(result.at("steps"), 80);
  EXPECT_THAT(mistake({"lab", "--replay", course, "--data", "synthetic:train=300,test=64"}),
              HasSubstr("other data"));
  EXPECT_THAT(mistake({"lab", "--replay", run + "/summary.json"}), HasSubstr("is no course"));
  std::filesystem::resize_file(course, std::filesystem::file_size(course) - 100);
  EXPECT_THAT(mistake({"lab", "--replay", course}), HasSubstr("is cut off"));
  EXPECT_THAT(mistake({"train", "--record", course, "--isolation", "process"}),
              HasSubstr("--isolation thread"));
}

TEST(Protocols, AreListedWithPaperOptionsAndBytes) {
  const Outcome outcome = run_paceline({"protocols", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  const auto all = nlohmann::json::parse(outcome.output).at("protocols");
  EXPECT_GE(all.size(), 19u);
  for (const auto& p : all) {
    EXPECT_FALSE(p.at("paper").get<std::string>().empty());
    EXPECT_TRUE(p.at("options").is_object());
    EXPECT_TRUE(p.at("bytes_per_parameter_step").is_number()) << p.at("protocol");
  }
  EXPECT_THAT(run_paceline({"protocols"}).output, HasSubstr("mdownpour"));
  EXPECT_THAT(mistake({"train", "--protocol", "admm"}), HasSubstr("simulator"));
  EXPECT_THAT(mistake({"train", "--protocol", "sgd", "--workers", "2"}), HasSubstr("--workers"));
}

}  // namespace
}  // namespace paceline
