// `paceline bench fabric`, as its user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/running_command.h"

namespace paceline {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(BenchFabric, MeasuresEachFabricAndLeavesNothingBehind) {
  const Outcome outcome = run_paceline({"bench", "fabric", "--json", "--largest", "65536"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_EQ(outcome.errors, "");
  const auto json = nlohmann::json::parse(outcome.output);
  ASSERT_EQ(json.at("results").size(), 2u);
  EXPECT_EQ(json["results"][0].at("fabric"), "tcp");
  EXPECT_EQ(json["results"][1].at("fabric"), "shared_memory");
  for (const auto& row : json["results"]) {
    EXPECT_GT(row.at("letter_seconds"), 0);
    ASSERT_EQ(row.at("reads").size(), 3u);
    EXPECT_EQ(row["reads"][2].at("bytes"), 65536);
    for (const auto& read : row["reads"]) {
      EXPECT_GT(read.at("bytes_per_second"), 0);
      EXPECT_GT(read.at("bytes_per_second_of_eight"), 0);
    }
  }
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm"))
    EXPECT_THAT(entry.path().string(), Not(HasSubstr(".bench-fabric")));
}

TEST(BenchFabric, MeasuresTheFabricThatIsNamedWhereItIsTold) {
  const Outcome outcome = run_paceline({"bench", "fabric", "--json", "--largest", "8", "--fabric",
                                        "tcp", "--here", "127.0.0.1:0", "--there", "127.0.0.1:0"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  const auto json = nlohmann::json::parse(outcome.output);
  ASSERT_EQ(json.at("results").size(), 1u);
  EXPECT_EQ(json["results"][0].at("fabric"), "tcp");
  EXPECT_EQ(json["results"][0].at("reads").size(), 1u);
  const Outcome mistaken = run_paceline({"bench", "fabric", "--fabric", "tpc"});
  EXPECT_EQ(mistaken.exit_code, 2);
  EXPECT_THAT(mistaken.errors, HasSubstr("tcp, shared_memory and verbs"));
}

TEST(BenchFabric, OtherProcessSaysWhatIsWrongWithItsWords) {
  const Outcome outcome = run_paceline({"bench", "fabric", "--peer", "nonsense"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.errors, HasSubstr("'nonsense'"));
}

}  // namespace
}  // namespace paceline
