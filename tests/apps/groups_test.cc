// Runs whose groups are processes that reach each other over a fabric alone. PACELINE_TEST_FABRIC=verbs
// and PACELINE_TEST_FABRIC_ADDRESS run them over RDMA, where there is some.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/run_processes.h"
#include "apps/running_command.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Words = std::vector<std::string>;

Words over(const std::string& fabric) {
  if (fabric == "none") return {};
  Words words{"--fabric", fabric};
  if (const char* address = std::getenv("PACELINE_TEST_FABRIC_ADDRESS");
      address != nullptr && fabric != "shared_memory")
    words.insert(words.end(), {"--fabric-address", address});
  return words;
}

std::vector<std::string> fabrics() {
  if (const char* named = std::getenv("PACELINE_TEST_FABRIC")) return {named};
  return {"tcp", "shared_memory"};
}

Words group_run(const fs::path& directory, const std::string& fabric, const Words& more) {
  Words words{"train",     "--data", "synthetic:train=512,test=256",
              "--network", "lenet",  "--batch",
              "16",        "--run",  directory.string(),
              "--quiet"};
  for (const Words& added : {over(fabric), more})
    words.insert(words.end(), added.begin(), added.end());
  return words;
}

std::vector<pid_t> groups_of(const fs::path& directory) {
  return processes_with("group --config " + (directory / "config.ini").string());
}

std::vector<std::string> faults(const fs::path& directory) {
  std::vector<std::string> texts;
  for (const json& fault : events(directory, "fault")) texts.push_back(fault.at("text"));
  return texts;
}

/// Every read of a group's is 4(P + B) bytes, one for each round whose leader is another group's.
void expect_one_read_a_round(const fs::path& run, std::uint32_t groups, std::uint32_t per_group) {
  std::map<std::uint32_t, std::uint64_t> wanted, had;
  for (const json& leader : events(run, "leader")) {
    if (leader.at("scope") != "global" || leader.at("final") || leader.at("worker").is_null())
      continue;
    for (std::uint32_t g = 0; g < groups; ++g)
      if (g != leader.at("worker").get<std::uint32_t>() / per_group) ++wanted[g];
  }
  ASSERT_FALSE(wanted.empty());
  std::uint64_t bytes = 0;
  for (const json& read : events(run, "read")) {
    if (read.at("for") != "group") continue;
    ++had[read.at("group").get<std::uint32_t>()];
    if (bytes == 0) bytes = read.at("bytes");
    EXPECT_EQ(read.at("bytes"), bytes);
  }
  EXPECT_EQ(had, wanted);
  const json fabric = json::parse(content(run / "summary.json")).at("fabric");
  for (std::uint32_t g = 0; g < groups; ++g) {
    EXPECT_EQ(fabric.at("groups").at(g).at("reads"), wanted[g]);
    EXPECT_EQ(fabric.at("groups").at(g).at("bytes"), wanted[g] * bytes);
  }
  // The file holds a header of some kilobytes and the same vector, without the padding.
  const double file = static_cast<double>(fs::file_size(run / "leader.safetensors"));
  EXPECT_NEAR(static_cast<double>(bytes), file, 8192);
}

TEST(Groups, GiveTheSameBitsOverEveryFabricAndWithoutAndReadALeaderOnceARound) {
  for (const std::uint32_t per_group : {1U, 2U}) {
    const TemporaryFolder folder;
    std::map<std::string, std::string> bits;
    std::vector<std::string> kinds = fabrics();
    kinds.insert(kinds.begin(), "none");
    for (const std::string& fabric : kinds) {
      const fs::path run = folder / fabric;
      const Outcome outcome =
          run_paceline(group_run(run, fabric,
                                 {"--groups", "2", "--workers", std::to_string(2 * per_group),
                                  "--steps", "24", "--mode", "barrier", "--deterministic", "--tau",
                                  "2", "--tau-global", "4", "--score-window", "4"}));
      ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
      EXPECT_THAT(faults(run), IsEmpty());
      const json summary = json::parse(content(run / "summary.json"));
      EXPECT_EQ(summary.at("steps"), 48 * per_group);
      EXPECT_EQ(summary.at("ended_by"), "steps");
      if (fabric != "none") {
        EXPECT_EQ(summary.at("fabric").at("kind"), fabric);
        expect_one_read_a_round(run, 2, per_group);
      }
      bits[fabric] = content(run / "leader.safetensors");
    }
    for (const std::string& fabric : kinds)
      EXPECT_TRUE(bits[fabric] == bits["none"]) << fabric << ", " << per_group << " a group";
  }
}

TEST(Groups, MayHaveWorkersThatAreProcessesAndTheBitsStay) {
  const TemporaryFolder folder;
  std::vector<std::string> bits;
  for (const char* isolation : {"thread", "process"}) {
    const fs::path run = folder / isolation;
    const Outcome outcome = run_paceline(group_run(
        run, fabrics()[0],
        {"--groups", "2", "--workers", "4", "--steps", "12", "--mode", "barrier", "--deterministic",
         "--tau", "2", "--tau-global", "4", "--score-window", "4", "--isolation", isolation}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
    EXPECT_THAT(faults(run), IsEmpty());
    bits.push_back(content(run / "leader.safetensors"));
  }
  EXPECT_TRUE(bits[0] == bits[1]);
}

TEST(Groups, OfThreeReachEachOtherWithoutWaiting) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  const Outcome outcome = run_paceline(group_run(
      run, fabrics()[0],
      {"--groups", "3", "--workers", "3", "--steps", "30", "--tau", "2", "--tau-global", "4"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  const json summary = json::parse(content(run / "summary.json"));
  EXPECT_EQ(summary.at("steps"), 90);
  EXPECT_GT(summary.at("events").at("global_sync"), 0);
  EXPECT_FALSE(summary.at("test_error_mean").is_null());
}

TEST(Groups, GoOnWithoutOneWhoseProcessIsKilled) {
  for (const std::string& fabric : fabrics()) {
    const TemporaryFolder folder;
    const fs::path run = folder / "run";
    RunningCommand process(paceline_words(
        group_run(run, fabric,
                  {"--groups", "2", "--workers", "2", "--minutes", "0.3", "--tau-global", "8"})));
    ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() >= 4; }));
    const std::vector<pid_t> victim = groups_of(run);
    ASSERT_EQ(victim.size(), 1u);
    kill(victim[0], SIGKILL);
    const Outcome outcome = process.wait(kDeadline);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
    EXPECT_THAT(faults(run),
                Contains(HasSubstr("group 1: its process " + std::to_string(victim[0]) +
                                   " ended: killed by signal 9")));
    EXPECT_EQ(json::parse(content(run / "summary.json")).at("ended_by"), "minutes");
    EXPECT_TRUE(fs::exists(run / "leader.safetensors"));
    EXPECT_THAT(segments("paceline." + std::to_string(getuid()) + "." + std::to_string(victim[0])),
                IsEmpty());
  }
}

TEST(Groups, EndInOrderAtAnInterrupt) {
  for (const std::string& fabric : fabrics()) {
    const TemporaryFolder folder;
    const fs::path run = folder / "run";
    RunningCommand process(paceline_words(
        group_run(run, fabric, {"--groups", "2", "--workers", "2", "--minutes", "30"})));
    ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() >= 4; }));
    process.send(SIGINT);
    const Outcome outcome = process.wait(kDeadline);
    EXPECT_EQ(outcome.exit_code, 130) << outcome.errors;
    EXPECT_EQ(json::parse(content(run / "summary.json")).at("ended_by"), "interrupt");
    EXPECT_THAT(faults(run), IsEmpty());
    EXPECT_THAT(groups_of(run), IsEmpty());
  }
}

TEST(Groups, StopAndGoOnWithTheRunAndTheTimeBetweenIsNotTheRuns) {
  constexpr std::chrono::seconds kStopped{12};  // more silence than a fabric's peer is allowed
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  RunningCommand process(
      paceline_words(
          group_run(run, fabrics()[0], {"--groups", "2", "--workers", "2", "--minutes", "0.2"})),
      {}, RunningCommand::Group::own);
  ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() >= 4; }));
  std::vector<pid_t> all = groups_of(run);
  ASSERT_EQ(all.size(), 1u);
  all.push_back(process.pid());
  process.send(SIGTSTP);  // as Ctrl-Z
  ASSERT_TRUE(within_deadline(
      [&] { return std::ranges::all_of(all, [](pid_t pid) { return state_of(pid) == 'T'; }); }));
  std::this_thread::sleep_for(kStopped);
  process.send(SIGCONT);
  const Outcome outcome = process.wait(kDeadline);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_THAT(faults(run), IsEmpty());
  const json summary = json::parse(content(run / "summary.json"));
  EXPECT_EQ(summary.at("ended_by"), "minutes");
  EXPECT_GT(summary.at("wall_seconds").get<double>(),
            summary.at("train_seconds").get<double>() + kStopped.count());
  for (const json& step : events(run, "step"))
    EXPECT_LT(step.at("t").get<double>(), 12 + 8.0) << "every process's clock stood still";
}

TEST(Groups, EndWithTheRunsProcess) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  RunningCommand process(paceline_words(
      group_run(run, fabrics()[0], {"--groups", "2", "--workers", "2", "--minutes", "30"})));
  ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() >= 4; }));
  ASSERT_EQ(groups_of(run).size(), 1u);
  process.send(SIGKILL);
  EXPECT_EQ(process.wait(kDeadline).signal, SIGKILL);
  EXPECT_TRUE(within_deadline([&] { return groups_of(run).empty(); })) << "no orphans";
}

TEST(Groups, AreRefusedWhatTheyCannotDoInOneLine) {
  const TemporaryFolder folder;
  const std::map<std::string, Words> cases{
      {"--groups 1", {"--groups", "1"}},
      {"--protocol lsgd alone", {"--groups", "2", "--protocol", "easgd"}},
      {"has no checkpoints", {"--groups", "2", "--checkpoint-every", "5"}},
      {"keeps its workers", {"--groups", "2", "--max-workers", "4"}}};
  for (const auto& [text, words] : cases) {
    const Outcome outcome = run_paceline(group_run(folder / "run", "tcp", words));
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.errors, HasSubstr(text));
  }
}

}  // namespace
}  // namespace paceline
