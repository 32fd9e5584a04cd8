// Workers that are added to a run, and removed, by a second program while it goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/running_command.h"
#include "apps/run_processes.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Words = std::vector<std::string>;

Words run_words(const fs::path& directory, const Words& more) {
  Words words{"train",     "--data", "synthetic:train=512,test=256",
              "--network", "lenet",  "--batch",
              "16",        "--run",  directory,
              "--quiet"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// Expects the program to do as it is told. @return what it says
std::string workers(const fs::path& run, const std::string& change) {
  const Outcome outcome = run_paceline({"workers", run, change});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_THAT(outcome.errors, IsEmpty());
  return outcome.output;
}

/// Expects one line that refuses. @return it
std::string refusal(const Words& words) {
  const Outcome outcome = run_paceline(words);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.errors;
  EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
  EXPECT_THAT(outcome.output, IsEmpty());
  return outcome.errors;
}

std::vector<std::string> faults(const fs::path& run) {
  std::vector<std::string> texts;
  for (const json& fault : events(run, "fault")) texts.push_back(fault.at("text"));
  return texts;
}

bool has_stepped(const fs::path& run, int worker) {
  return std::ranges::any_of(events(run, "step"),
                             [&](const json& step) { return step.at("worker") == worker; });
}

class Workers : public testing::TestWithParam<const char*> {
 protected:
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
};

TEST_P(Workers, AreAddedToARunThatGoesOnAndRemovedFromIt) {
  RunningCommand process(paceline_words(
      run_words(run, {"--workers", "2", "--minutes", "30", "--isolation", GetParam()})));
  ASSERT_TRUE(within_deadline([&] { return has_stepped(run, 0); }));
  EXPECT_EQ(workers(run, "+2"), "workers 2 and 3 were added: 4 ride\n");
  ASSERT_TRUE(within_deadline([&] { return has_stepped(run, 2) && has_stepped(run, 3); }));
  EXPECT_THAT(workers(run, "-1"), HasSubstr("was removed: 3 ride"));
  EXPECT_THAT(refusal({"workers", run, "+2"}), HasSubstr("3 ride and there are seats for 1 more"));
  EXPECT_THAT(refusal({"workers", run, "-3"}), HasSubstr("one has to stay: 2 can be removed"));
  process.send(SIGINT);
  const Outcome outcome = process.wait(kDeadline);
  EXPECT_EQ(outcome.exit_code, 130) << outcome.errors;

  EXPECT_THAT(faults(run), Contains(HasSubstr("worker 2 was added to group 0")));
  EXPECT_THAT(faults(run), Contains(HasSubstr("worker 3 was added to group 0")));
  EXPECT_THAT(faults(run),
              Contains(AllOf(HasSubstr(" was removed after "), HasSubstr(": 3 ride"))));
  EXPECT_EQ(faults(run).size(), 3u) << "nothing else happened";
  EXPECT_THAT(outcome.errors, HasSubstr("was removed after")) << "in the log, too";
  const json summary = json::parse(content(run / "summary.json"));
  EXPECT_EQ(summary.at("ended_by"), "interrupt");
  EXPECT_EQ(summary.at("events").at("workers_added"), 2);
  EXPECT_EQ(summary.at("events").at("workers_removed"), 1);
  EXPECT_TRUE(summary.at("test_error_mean").is_number());
  EXPECT_TRUE(fs::exists(run / "leader.safetensors"));
  EXPECT_FALSE(fs::exists(run / "node"));
  EXPECT_THAT(workers_of(run), IsEmpty());
  EXPECT_THAT(refusal({"workers", run, "+1"}), HasSubstr("the run has ended"));
}

// --steps is a budget of all: with more workers it is used up sooner, to the last step.
TEST_P(Workers, ShareTheBudgetWithThoseWhoCome) {
  RunningCommand process(paceline_words(run_words(
      run, {"--workers", "2", "--groups", "2", "--steps", "400", "--isolation", GetParam(),
            "--mode", "barrier", "--tau-global", "8", "--checkpoint-every", "100"})));
  ASSERT_TRUE(within_deadline([&] { return has_stepped(run, 0); }));
  workers(run, "+2");
  const std::string removed = workers(run, "-1");
  const Outcome outcome = process.wait(kDeadline);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  const json summary = json::parse(content(run / "summary.json"));
  EXPECT_EQ(summary.at("steps"), 800);
  EXPECT_EQ(summary.at("ended_by"), "steps");
  EXPECT_FALSE(summary.at("events").contains("timeout")) << "nobody waits for who is gone";
  EXPECT_FALSE(events(run, "checkpoint").empty());

  const Outcome resumed = run_paceline({"train", "--resume", run, "--steps", "450", "--quiet"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.errors;
  EXPECT_EQ(json::parse(content(run / "summary.json")).at("steps"), 900)
      << "with two workers again";
}

TEST_P(Workers, OfEasgdAndDianaComeAndGoToo) {
  for (const char* protocol : {"easgd", "diana"}) {
    const fs::path directory = folder / protocol;
    RunningCommand process(
        paceline_words(run_words(directory, {"--workers", "2", "--minutes", "30", "--protocol",
                                             protocol, "--isolation", GetParam()})));
    ASSERT_TRUE(within_deadline([&] { return has_stepped(directory, 0); }));
    EXPECT_THAT(workers(directory, "+1"), HasSubstr("worker 2 was added: 3 ride"));
    ASSERT_TRUE(within_deadline([&] { return has_stepped(directory, 2); }));
    EXPECT_THAT(workers(directory, "-1"), HasSubstr("was removed: 2 ride"));
    const std::size_t before = events(directory, "step").size();
    EXPECT_TRUE(within_deadline([&] { return events(directory, "step").size() > before + 4; }));
    process.send(SIGINT);
    const Outcome outcome = process.wait(kDeadline);
    EXPECT_EQ(outcome.exit_code, 130) << protocol << ": " << outcome.errors;
    EXPECT_EQ(faults(directory).size(), 2u) << protocol << ": " << outcome.errors;
  }
}

INSTANTIATE_TEST_SUITE_P(Isolation, Workers, testing::Values("thread", "process"),
                         [](const auto& isolation) { return std::string(isolation.param); });

using WorkersMistake = Workers;

TEST_F(WorkersMistake, NoSuchRunNoNumberNoChange) {
  EXPECT_THAT(refusal({"workers", folder / "nothing", "+1"}), HasSubstr("holds no run"));
  EXPECT_THAT(refusal({"workers", run}), HasSubstr("paceline workers RUN +2"));
  EXPECT_THAT(refusal({"workers", "+2"}), HasSubstr("paceline workers RUN +2"));
  EXPECT_THAT(refusal({"workers", run, "2"}), HasSubstr("one argument too many"));
  EXPECT_THAT(refusal({"workers", run, "+0"}), HasSubstr("+0"));
  EXPECT_THAT(refusal({"workers", run, "+1", "-1"}), HasSubstr("paceline workers RUN +2"));
  EXPECT_THAT(refusal({"workers", run, "+99999999999"}), HasSubstr("99999999999"));
  fs::create_directories(run);
  std::ofstream(run / "config.ini") << "network = lenet\n";
  EXPECT_THAT(refusal({"workers", run, "+1"}), HasSubstr("does not train now"));
  std::ofstream(run / "node") << "anything else\n";
  EXPECT_THAT(refusal({"workers", run, "+1"}), HasSubstr("not what a run writes there"));
  std::ofstream(run / "node") << "/paceline.0.1.5.run0-node\nabc\n";
  EXPECT_THAT(refusal({"workers", run, "+1"}), HasSubstr("process 1 is gone"));
}

TEST_F(WorkersMistake, ARunWhoseBitsOrSharesDependOnItsWorkers) {
  for (const Words& more : {Words{"--deterministic", "--mode", "barrier", "--steps", "100000"},
                            Words{"--sampling", "sharded", "--minutes", "30"}}) {
    const fs::path directory = folder / more[0].substr(2);
    RunningCommand process(paceline_words(run_words(directory, more)));
    ASSERT_TRUE(within_deadline([&] { return has_stepped(directory, 0); }));
    EXPECT_THAT(refusal({"workers", directory, "-1"}), HasSubstr(more[0]));
    process.send(SIGINT);
    EXPECT_EQ(process.wait(kDeadline).exit_code, 130);
  }
  EXPECT_THAT(refusal(run_words(folder / "no", {"--deterministic", "--mode", "barrier", "--steps",
                                                "9", "--max-workers", "4"})),
              HasSubstr("--max-workers 4"));
  EXPECT_THAT(refusal(run_words(folder / "no", {"--workers", "4", "--max-workers", "3"})),
              HasSubstr("--max-workers 3 is less than --workers 4"));
}

TEST_F(WorkersMistake, ARunThatWasKilledAndIsGoneOnWith) {
  {
    RunningCommand process(
        paceline_words(run_words(run, {"--workers", "2", "--minutes", "30", "--checkpoint-every",
                                       "20", "--max-workers", "3"})));
    ASSERT_TRUE(within_deadline([&] { return !events(run, "checkpoint").empty(); }));
    process.send(SIGKILL);
    process.wait(kDeadline);
  }
  EXPECT_TRUE(fs::exists(run / "node"));
  EXPECT_THAT(refusal({"workers", run, "+1"}), HasSubstr("--resume goes on with it"));
  const std::size_t steps = events(run, "step").size();
  RunningCommand process(paceline_words({"train", "--resume", run, "--quiet"}));
  ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() > steps; }));
  EXPECT_THAT(workers(run, "+1"), HasSubstr("worker 2 was added: 3 ride"));
  EXPECT_THAT(refusal({"workers", run, "+1"}), HasSubstr("--max-workers (here 3)"));
  process.send(SIGINT);
  EXPECT_EQ(process.wait(kDeadline).exit_code, 130);
}

}  // namespace
}  // namespace paceline
