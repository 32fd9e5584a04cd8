// The commands that need no training.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/running_command.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Command, HelpAndVersionArePrintedAndSucceed) {
  const Outcome help = run_paceline({"--help"}), version = run_paceline({"--version"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.output, HasSubstr("paceline doctor"));
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.output, ::testing::MatchesRegex("paceline [0-9.]+\n"));
  for (const char* command :
       {"train", "eval", "inspect", "bench", "doctor", "workers", "lab", "protocols"}) {
    const Outcome outcome = run_paceline({"help", command});
    EXPECT_EQ(outcome.exit_code, 0) << command;
    EXPECT_THAT(outcome.output, HasSubstr(std::string("paceline ") + command));
    EXPECT_THAT(outcome.errors, IsEmpty());
  }
}

TEST(Command, PrintConfigIsAFileThatGivesItselfBack) {
  const TemporaryFolder folder;
  const Outcome first = run_paceline({"train", "--print-config", "--workers", "6", "--groups", "3"},
                                     {"PACELINE_TAU_GLOBAL=32"});
  EXPECT_EQ(first.exit_code, 0) << first.errors;
  EXPECT_THAT(first.output, HasSubstr("tau-global = 32\n"));
  std::ofstream(folder / "run.ini") << first.output;
  const Outcome second = run_paceline({"train", "--print-config", "--config", folder / "run.ini"});
  EXPECT_EQ(second.output, first.output);
}

TEST(Command, OutputThatCannotBeWrittenIsAMistake) {
  RunningCommand child({"sh", "-c", std::string(PACELINE_PROGRAM) + " help > /dev/full"});
  const Outcome outcome = child.wait(std::chrono::seconds(60));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.errors, HasSubstr("standard output"));
}

TEST(Command, DoctorSaysWhatTrainingNeeds) {
  const Outcome outcome = run_paceline({"doctor", "--json"});
  const auto report = nlohmann::json::parse(outcome.output);
  EXPECT_EQ(outcome.exit_code, report.at("usable").get<bool>() ? 0 : 1);
  std::vector<std::string> subjects;
  for (const auto& finding : report.at("findings")) {
    subjects.push_back(finding.at("subject"));
    EXPECT_THAT(finding.at("mark").get<std::string>(),
                ::testing::AnyOf("ok", "note", "warn", "fail"));
    EXPECT_FALSE(finding.at("found").get<std::string>().empty());
  }
  for (const char* subject : {"processor", "cores", "memory", "/dev/shm", "huge pages",
                              "fabric tcp", "memlock", "device cpu", "device cuda", "libraries",
                              "run folder", "pidfd", "PR_SET_PDEATHSIG", "futex"}) {
    EXPECT_THAT(subjects, ::testing::Contains(subject));
  }
  EXPECT_THAT(run_paceline({"doctor"}).output, HasSubstr("This machine can"));
}

}  // namespace
}  // namespace paceline
