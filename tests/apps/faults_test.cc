// A run under fire: its workers are killed, stopped, starved of memory and given a device that
// throws and loses its numbers, its checkpoints do not find room; and it ends as if nothing had
// been. PACELINE_FAULTS says how many faults are done from outside (default 6: one of each kind).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <iostream>
#include <random>
#include <vector>

#include "apps/run_processes.h"
#include "apps/running_command.h"
#include "net/hunt.h"
#include "test_seed.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::IsEmpty;
using Words = std::vector<std::string>;

int faults_wanted() {
  const char* given = std::getenv("PACELINE_FAULTS");
  return given ? std::stoi(given) : 6;
}

/// A run of LeNet with three processes that takes a while.
Words long_run(const fs::path& directory, int steps, const Words& more) {
  Words words{"train",
              "--data",
              "synthetic:train=2048,test=1024",
              "--network",
              "lenet",
              "--batch",
              "16",
              "--workers",
              "3",
              "--isolation",
              "process",
              "--steps",
              std::to_string(steps),
              "--lr",
              "0.02",
              "--lr-schedule",
              "cosine",
              "--run",
              directory.string(),
              "--evaluate",
              "after",
              "--evaluate-every",
              "1e6",
              "--quiet"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

double test_error(const fs::path& run) {
  return json::parse(content(run / "summary.json")).at("test_error_leader").get<double>();
}

/// What happens to a run from outside.
class Attacker {
 public:
  Attacker(const fs::path& run, std::uint64_t seed) : run_(run), random_(seed) {}

  /// @return what was done; nothing when there was nobody to do it to
  std::string strike() {
    const std::vector<pid_t> workers = workers_of(run_);
    if (workers.empty()) return "";
    const pid_t victim = workers[below(workers.size())];
    if (kinds_.empty()) {  // every six faults are of every kind
      kinds_ = {0, 1, 2, 3, 4, 5};
      std::ranges::shuffle(kinds_, random_);
    }
    const int kind = kinds_.back();
    kinds_.pop_back();
    switch (kind) {
      case 0:
        kill(victim, SIGKILL);
        return "killed " + std::to_string(victim);
      case 1:
        kill(victim, SIGSTOP);  // nobody wakes it: the node takes it for dead
        return "stopped " + std::to_string(victim) + " for good";
      case 2:
        kill(victim, SIGABRT);
        return "aborted " + std::to_string(victim);
      case 3:
        kill(victim, SIGSTOP);
        std::this_thread::sleep_for(std::chrono::milliseconds(1000 + below(3000)));
        kill(victim, SIGCONT);
        return "stopped " + std::to_string(victim) + " for a while";
      case 4: {
        const rlimit tight{1 << 20, 1 << 20};  // less than it has: nothing more can be had
        prlimit(victim, RLIMIT_AS, &tight, nullptr);
        return "starved " + std::to_string(victim);
      }
      default:
        return fill_disk() ? "filled the disk under the checkpoints" : "";
    }
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }

  /// For a second no file of the node's process can grow beyond 1 MiB, which checkpoints are.
  bool fill_disk() {
    std::vector<pid_t> nodes = processes_with("train --data");
    std::erase_if(nodes, [&](pid_t pid) {
      return !std::ranges::count(processes_with(run_.string() + " "), pid);
    });
    if (nodes.size() != 1) return false;
    rlimit before{};
    prlimit(nodes[0], RLIMIT_FSIZE, nullptr, &before);
    const rlimit small{1 << 20, before.rlim_max};
    prlimit(nodes[0], RLIMIT_FSIZE, &small, nullptr);
    std::this_thread::sleep_for(1s);
    prlimit(nodes[0], RLIMIT_FSIZE, &before, nullptr);
    return true;
  }

  const fs::path run_;
  std::mt19937_64 random_;
  std::vector<int> kinds_;  // that come next, the last first
};

TEST(Faults, LeaveARunWithTheErrorOfAnUndisturbedOneAndNothingBehind) {
  const TemporaryFolder folder;
  const int wanted = faults_wanted();
  const int steps = 50 * wanted + 1500;  // enough to converge: before, runs differ by chance
  const auto deadline = kDeadline * (1 + wanted / 50);
  const Outcome calm =
      RunningCommand(paceline_words(long_run(folder / "calm", steps, {}))).wait(deadline);
  ASSERT_EQ(calm.exit_code, 0) << calm.errors;

  const std::uint64_t seed = test_seed();
  const fs::path run = folder / "run";
  Words words = long_run(run, steps,
                         {"--device", "failing", "--restarts", "1000", "--checkpoint-every", "2s",
                          "--slot-checksums"});
  RunningCommand process(paceline_words(words),
                         {"FAILING_STEPS=70:gradient 150:loss 230:throw 300:memory"});
  ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() >= 3; }));
  const std::string shared = segments_of(run);
  ASSERT_FALSE(segments(shared).empty());
  Attacker attacker(run, seed);
  int struck = 0;
  // There may be moments in which every worker waits for its replacement.
  while (struck < wanted && !fs::exists(run / "summary.json") && runs(process.pid())) {
    if (const std::string what = attacker.strike(); !what.empty()) {
      std::cout << what << std::endl;
      ++struck;
    }
    std::this_thread::sleep_for(500ms);
  }
  const Outcome outcome = process.wait(deadline);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_GE(struck, wanted / 2) << "the run was too short for this machine";
  const json summary = json::parse(content(run / "summary.json"));
  EXPECT_EQ(summary.at("ended_by"), "steps");
  EXPECT_FALSE(events(run, "fault").empty());
  EXPECT_EQ(summary.at("events").at("damaged"), 0) << "no torn buffer was used, nor even seen";

  const double undisturbed = test_error(folder / "calm"), disturbed = test_error(run);
  std::cout << struck << " faults; error " << disturbed << ", undisturbed " << undisturbed << "\n";
  EXPECT_LT(disturbed, undisturbed + 0.1);

  EXPECT_THAT(workers_of(run), IsEmpty()) << "no orphans";
  EXPECT_THAT(segments(shared), IsEmpty());
  std::size_t checkpoints = 0;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints")) {
    EXPECT_TRUE(entry.path().filename().string().starts_with("step-")) << entry.path();
    const Outcome tested = run_paceline({"eval", entry.path() / "leader.safetensors", "--json"});
    EXPECT_EQ(tested.exit_code, 0) << tested.errors;
    ++checkpoints;
  }
  EXPECT_GT(checkpoints, 0u);
}

}  // namespace
}  // namespace paceline
