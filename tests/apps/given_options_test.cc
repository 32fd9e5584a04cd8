#include "paceline/apps/given_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace paceline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<OptionName> kOptions{
    {"tau-global", "N", ""}, {"batch", "N", ""}, {"json", "", ""}};

Result<CommandLine> line(const std::vector<std::string>& words, std::size_t most = 0) {
  return read_command_line(words, kOptions, most);
}

TEST(GivenOptions, ACommandLineGivesOptionsAndArguments) {
  const auto read = line({"--tau-global", "16", "file", "--batch=3", "--json"}, 1);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read.value().options.at("tau-global").text, "16");
  EXPECT_EQ(read.value().options.at("batch").text, "3");
  EXPECT_EQ(read.value().options.at("json").text, "on");
  EXPECT_THAT(read.value().arguments, ElementsAre("file"));
}

TEST(GivenOptions, ANegativeNumberIsAValueAndNotAnOption) {
  const auto read = line({"--batch", "-1"});
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read.value().options.at("batch").text, "-1");
}

TEST(GivenOptions, ASwitchTakesNoFollowingWord) {
  EXPECT_THAT(line({"--json", "file"}, 1).value().arguments, ElementsAre("file"));
  EXPECT_EQ(line({"--json=off"}).value().options.at("json").text, "off");
}

TEST(GivenOptions, MistakesOfACommandLineAreNamed) {
  const auto message = [](const std::vector<std::string>& words) {
    const auto read = line(words);
    return read ? std::string("was accepted") : read.error().message;
  };
  EXPECT_THAT(message({"--tau-gobal", "16"}),
              HasSubstr("no option --tau-gobal; did you mean '--tau-global'?"));
  EXPECT_THAT(message({"--tau-gobal=16"}),
              HasSubstr("no option --tau-gobal; did you mean '--tau-global'?"));
  // GO-1: nothing is abbreviated.
  EXPECT_THAT(message({"--tau", "16"}), HasSubstr("no option --tau;"));
  EXPECT_THAT(message({"--batch"}), HasSubstr("--batch needs a value"));
  EXPECT_THAT(message({"--batch", "--json"}), HasSubstr("--batch needs a value"));
  EXPECT_THAT(message({"--batch="}), HasSubstr("--batch needs a value"));
  EXPECT_THAT(message({"--batch", "1", "--batch", "2"}), HasSubstr("--batch is given twice"));
  EXPECT_THAT(message({"batch"}), HasSubstr("'batch' is one argument too many"));
  EXPECT_THAT(message({"-b"}), HasSubstr("'-b' is one argument too many"));
}

TEST(GivenOptions, AnEnvironmentGivesOptionsInCapitals) {
  const auto read = read_environment(
      std::vector<std::string>{"PATH=/bin", "PACELINE_TAU_GLOBAL=8", "PACELINE_JSON=on"}, kOptions);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read.value().size(), 2U);
  EXPECT_EQ(read.value().at("tau-global").text, "8");
  EXPECT_EQ(read.value().at("tau-global").origin, "PACELINE_TAU_GLOBAL");
}

TEST(GivenOptions, TheEnginesCacheFolderIsNoOption) {
  const auto read = read_environment(std::vector<std::string>{"PACELINE_CACHE=/tmp"}, kOptions);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(read.value().empty());
}

TEST(GivenOptions, AnUnknownVariableIsRefusedNamingTheNearest) {
  const auto read = read_environment(std::vector<std::string>{"PACELINE_BACTH=8"}, kOptions);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("did you mean 'PACELINE_BATCH'?"));
}

}  // namespace
}  // namespace paceline
