// tools/bench/against-pytorch with $PYTHON or /usr/bin/python3.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "apps/running_command.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kTool = PACELINE_AGAINST_PYTORCH;

Outcome against_pytorch(std::vector<std::string> words) {
  words.insert(words.begin(), {"/usr/bin/python3", kTool, "--paceline", PACELINE_PROGRAM});
  return RunningCommand(words).wait(std::chrono::seconds(300));
}

class AgainstPyTorch : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/usr/bin/python3")) GTEST_SKIP() << "no /usr/bin/python3";
  }
  TemporaryFolder folder_;
};

TEST_F(AgainstPyTorch, MistakesAreOneLine) {
  struct Case {
    std::vector<std::string> words;
    const char* says;
  };
  for (const Case& c : {Case{{"--python", folder_ / "none"}, "No such file"},
                        Case{{"--networks", "lenet,lnet"}, "no network lnet here"},
                        Case{{"--threads", "100000"}, "--threads 100000: there are"},
                        Case{{"--rounds", "0"}, "--rounds"},
                        Case{{"--paceline", folder_ / "none"}, "no program"}}) {
    const Outcome outcome = against_pytorch(c.words);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.errors;
    EXPECT_THAT(outcome.errors, AllOf(StartsWith("against-pytorch: "), HasSubstr(c.says)));
    EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
  }
}

TEST_F(AgainstPyTorch, WritesItsSectionAndLeavesTheRestOfTheFileAlone) {
  const char* const given = std::getenv("PYTHON");
  const std::string python = given == nullptr ? "/usr/bin/python3" : given;
  const std::string file = folder_ / "cpu.md";
  std::ofstream(file) << "# Before\n<!-- from here on written by tools/bench/against-pytorch -->\n"
                         "old\n<!-- until here written by tools/bench/against-pytorch -->\nAfter\n";
  const Outcome outcome = against_pytorch(
      {"--python", python, "--networks", "lenet", "--rounds", "1", "--output", file});
  if (outcome.errors.find("apt-get install") != std::string::npos)
    GTEST_SKIP() << outcome.errors;  // no torch, or a slow one
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  EXPECT_THAT(text.str(),
              AllOf(StartsWith("# Before\n<!-- from here"), EndsWith("-->\nAfter\n"),
                    Not(HasSubstr("old\n")), HasSubstr("| lenet, 128 (3x32x32) |"),
                    HasSubstr("load average"), HasSubstr("channels_last"), HasSubstr("GB/s")));
}

}  // namespace
}  // namespace paceline
