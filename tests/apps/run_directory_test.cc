#include "paceline/apps/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class RunDirectory : public ::testing::Test {
 protected:
  const TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
};

TEST_F(RunDirectory, IsMadeWithItsParentsAndHoldsTheConfiguration) {
  const fs::path run = root_ / "a" / "b";
  const auto ready = prepare_run_directory(run, "tau = 4\n");
  ASSERT_TRUE(ready) << ready.error().message;
  std::ifstream file(run / "config.ini");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "tau = 4\n");
}

TEST_F(RunDirectory, ThatHoldsARunIsRefused) {
  for (const char* name : {"metrics.jsonl", "summary.json", "leader.safetensors", "config.ini"}) {
    const fs::path run = root_ / name;
    fs::create_directory(run);
    std::ofstream(run / name) << "x";
    const auto ready = prepare_run_directory(run, "");
    ASSERT_FALSE(ready) << name;
    EXPECT_THAT(ready.error().message, HasSubstr("holds a run already"));
  }
}

TEST_F(RunDirectory, UnderAFileIsRefused) {
  std::ofstream(root_ / "file") << "x";
  const auto ready = prepare_run_directory(root_ / "file" / "run", "");
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().message, HasSubstr("--run"));
}

TEST_F(RunDirectory, OfARunThatDidNotStartIsFreeAgain) {
  const fs::path run = root_ / "run";
  ASSERT_TRUE(prepare_run_directory(run, ""));
  abandon_run_directory(run);
  EXPECT_FALSE(fs::exists(run));
  ASSERT_TRUE(prepare_run_directory(run, ""));
  std::ofstream(run / "metrics.jsonl") << "x";
  abandon_run_directory(run);
  EXPECT_TRUE(fs::exists(run / "config.ini"));
}

TEST_F(RunDirectory, WithoutANameIsNamedByDateNetworkAndProtocol) {
  const std::string name =
      free_run_directory("cnn7", "lsgd", std::chrono::system_clock::now()).string();
  EXPECT_THAT(name, ::testing::MatchesRegex("runs/[0-9]{8}-[0-9]{6}-cnn7-lsgd"));
}

}  // namespace
}  // namespace paceline
