// `paceline bench mailbox`, as its user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/running_command.h"

namespace paceline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(BenchMailbox, ComparesRoundTripsWithRemotingAndLeavesNothingBehind) {
  const Outcome outcome = run_paceline({"bench", "mailbox", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_EQ(outcome.errors, "");
  const auto json = nlohmann::json::parse(outcome.output);
  EXPECT_GT(json.at("cores"), 0);
  ASSERT_EQ(json.at("results").size(), 2u);
  EXPECT_EQ(json["results"][0].at("receiver"), "busy");
  EXPECT_EQ(json["results"][1].at("receiver"), "asleep");
  for (const auto& row : json.at("results")) {
    const double mailbox = row.at("mailbox_seconds"), caf = row.at("caf_seconds");
    EXPECT_GT(mailbox, 0);
    EXPECT_GT(caf, 0);
    EXPECT_DOUBLE_EQ(row.at("ratio"), caf / mailbox);
    EXPECT_GT(row.at("mailbox_per_second"), 0);
    EXPECT_GT(row.at("caf_per_second"), 0);
  }
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm"))
    EXPECT_THAT(entry.path().string(), Not(HasSubstr(".bench-mailbox")));
}

TEST(BenchMailbox, OtherProcessSaysWhatIsWrongWithItsSegment) {
  const Outcome outcome = run_paceline({"bench", "mailbox", "--peer", "/paceline.none"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.errors, AllOf(HasSubstr("paceline bench: "), HasSubstr("/paceline.none")));
  EXPECT_THAT(run_paceline({"bench", "mailbox", "--help"}).output, Not(HasSubstr("--peer")));
}

}  // namespace
}  // namespace paceline
