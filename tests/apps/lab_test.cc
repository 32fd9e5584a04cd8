// paceline lab and paceline protocols, from outside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

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
