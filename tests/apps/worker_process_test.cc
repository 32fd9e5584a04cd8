// Runs whose workers are processes, and what is left of them when processes die.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
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

Words process_run(const std::string& directory, const Words& more) {
  Words words{"train",     "--data",      "synthetic:train=512,test=256",
              "--network", "lenet",       "--batch",
              "16",        "--run",       directory,
              "--quiet",   "--isolation", "process"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(WorkerProcesses, GiveTheSameBitsAsThreads) {
  const TemporaryFolder folder;
  const std::vector<Words> cases{{"--groups", "1", "--workers", "2"},
                                 {"--groups", "2", "--workers", "4", "--tau", "2"},
                                 {"--workers", "2", "--device", "cpu,sharing"}};
  for (std::size_t i = 0; i < cases.size(); ++i) {
    std::vector<std::string> bits;
    for (const char* isolation : {"thread", "process"}) {
      const fs::path directory = folder / (std::to_string(i) + isolation);
      Words words = process_run(directory, {"--steps", "24", "--mode", "barrier", "--deterministic",
                                            "--tau-global", "4"});
      words.insert(words.end(), cases[i].begin(), cases[i].end());
      *std::ranges::find(words, "process") = isolation;
      const Outcome outcome = run_paceline(words);
      ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
      EXPECT_THAT(events(directory, "fault"), IsEmpty());
      bits.push_back(content(directory / "leader.safetensors"));
    }
    EXPECT_TRUE(bits[0] == bits[1]) << "case " << i;
  }
}

TEST(WorkerProcesses, AreReplacedWhenTheyAreKilledAndTheRunEndsInOrder) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  RunningCommand process(paceline_words(process_run(run, {"--workers", "3", "--minutes", "0.35"})));
  ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() >= 3; }));
  const std::string shared = segments_of(run);
  ASSERT_FALSE(segments(shared).empty());
  const std::vector<pid_t> victim = workers_of(run, "1");
  ASSERT_EQ(victim.size(), 1u);
  kill(victim[0], SIGKILL);
  const Outcome outcome = process.wait(kDeadline);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;

  std::vector<std::string> faults;
  for (const json& fault : events(run, "fault")) faults.push_back(fault.at("text"));
  EXPECT_THAT(faults, Contains(HasSubstr("worker 1: its process " + std::to_string(victim[0]) +
                                         " ended: killed by signal 9")));
  EXPECT_THAT(faults, Contains(HasSubstr("worker 1 was replaced (1 of 3 times)")));
  EXPECT_THAT(outcome.errors, HasSubstr("killed by signal 9")) << "in the log, too";
  const json summary = json::parse(content(run / "summary.json"));
  EXPECT_EQ(summary.at("ended_by"), "minutes");
  EXPECT_THAT(workers_of(run), IsEmpty());
  EXPECT_THAT(segments(shared), IsEmpty());
}

TEST(WorkerProcesses, OfAKilledNodeEndWithItAndTakeItsSegmentsAway) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  RunningCommand process(paceline_words(process_run(run, {"--workers", "2", "--minutes", "30"})));
  ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() >= 2; }));
  const std::string shared = segments_of(run);
  ASSERT_FALSE(segments(shared).empty());
  const std::vector<pid_t> stopped = workers_of(run, "1");
  ASSERT_EQ(stopped.size(), 1u);
  kill(stopped[0], SIGSTOP);  // cannot end by itself
  process.send(SIGKILL);
  EXPECT_EQ(process.wait(kDeadline).signal, SIGKILL);
  EXPECT_TRUE(within_deadline([&] { return workers_of(run).empty(); })) << "no orphans";
  EXPECT_TRUE(within_deadline([&] { return segments(shared).empty(); }));
}

TEST(WorkerProcesses, EndInOrderAtAnInterrupt) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  RunningCommand process(paceline_words(process_run(run, {"--workers", "2", "--minutes", "30"})));
  ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() >= 2; }));
  const std::string shared = segments_of(run);
  ASSERT_FALSE(segments(shared).empty());
  process.send(SIGINT);
  const Outcome outcome = process.wait(kDeadline);
  EXPECT_EQ(outcome.exit_code, 130) << outcome.errors;
  EXPECT_EQ(json::parse(content(run / "summary.json")).at("ended_by"), "interrupt");
  EXPECT_TRUE(fs::exists(run / "leader.safetensors"));
  EXPECT_THAT(events(run, "fault"), IsEmpty());
  EXPECT_THAT(workers_of(run), IsEmpty());
  EXPECT_THAT(segments(shared), IsEmpty());
}

TEST(WorkerProcesses, StopAndGoOnWithTheirNodeAndTheTimeBetweenIsNotTheRuns) {
  constexpr std::chrono::seconds kStopped{8};  // more silence than a worker is allowed
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  RunningCommand process(paceline_words(process_run(run, {"--workers", "2", "--minutes", "0.35"})),
                         {}, RunningCommand::Group::own);
  ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() >= 2; }));
  std::vector<pid_t> all = workers_of(run);
  ASSERT_EQ(all.size(), 2u);
  all.push_back(process.pid());
  const auto all_stopped = [&] {
    return std::ranges::all_of(all, [](pid_t pid) { return state_of(pid) == 'T'; });
  };
  for (int times = 0; times < 2; ++times) {
    process.send(SIGTSTP);  // as Ctrl-Z
    ASSERT_TRUE(within_deadline(all_stopped));
    std::this_thread::sleep_for(kStopped);
    EXPECT_TRUE(all_stopped());
    process.send(SIGCONT);
    ASSERT_TRUE(within_deadline(
        [&] { return std::ranges::none_of(all, [](pid_t pid) { return state_of(pid) == 'T'; }); }));
  }
  const Outcome outcome = process.wait(kDeadline);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  for (const json& fault : events(run, "fault")) ADD_FAILURE() << fault;
  const json summary = json::parse(content(run / "summary.json"));
  EXPECT_EQ(summary.at("ended_by"), "minutes");
  EXPECT_GE(summary.at("wall_seconds").get<double>() - summary.at("train_seconds").get<double>(),
            2.0 * kStopped.count());
  EXPECT_THAT(workers_of(run), IsEmpty());
}

TEST(WorkerProcesses, StoppedWithTheirNodeEndWithItAllTheSame) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  RunningCommand process(paceline_words(process_run(run, {"--workers", "2", "--minutes", "30"})),
                         {}, RunningCommand::Group::own);
  ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() >= 2; }));
  const std::string shared = segments_of(run);
  process.send(SIGTSTP);
  ASSERT_TRUE(within_deadline([&] { return state_of(process.pid()) == 'T'; }));
  process.send(SIGKILL);
  EXPECT_EQ(process.wait(kDeadline).signal, SIGKILL);
  EXPECT_TRUE(within_deadline([&] { return workers_of(run).empty(); })) << "no orphans";
  EXPECT_TRUE(within_deadline([&] { return segments(shared).empty(); }));
}

TEST(WorkerProcesses, StartedByHandSayWhoStartsThem) {
  const Outcome alone = run_paceline({"worker"});
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_THAT(alone.errors, HasSubstr("starts its workers by itself"));
  const TemporaryFolder folder;
  std::ofstream(folder / "config.ini") << "network = lenet\n";
  const Words given{"worker", "--config",  folder / "config.ini",      "--rank",
                    "0",      "--segment", "/paceline.0.1.5.run0-node"};
  const Outcome orphan = run_paceline(given);
  EXPECT_NE(orphan.exit_code, 0);
  EXPECT_THAT(orphan.errors, HasSubstr("which started this one"));
}

// Their node is stopped before it has begun the run: they wait, but not for ever.
TEST(WorkerProcesses, WhoseRunDoesNotBeginSaySoAndEnd) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  RunningCommand process(
      paceline_words(process_run(run, {"--workers", "2", "--minutes", "30", "--device", "failing",
                                       "--begin-within", "5"})),
      {"STALLED_BUILDS=1", "FAILING_STALL=3"});
  ASSERT_TRUE(within_deadline([&] { return !workers_of(run, "1").empty(); }));
  process.send(SIGSTOP);  // worker 0 has its engine, worker 1 builds its own
  EXPECT_TRUE(within_deadline([&] { return workers_of(run).empty(); }));
  process.send(SIGCONT);
  EXPECT_TRUE(process.wait_for_text("worker 0 waited in vain for the run's beginning", kDeadline));
  process.send(SIGINT);
  process.wait(kDeadline);
  EXPECT_THAT(workers_of(run), IsEmpty());
}

}  // namespace
}  // namespace paceline
