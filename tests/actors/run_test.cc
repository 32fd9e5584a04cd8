// Whole runs on real actors, arenas and engines, in this process.
#include "paceline/actors/run.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "paceline/actors/caf_compat.h"
#include "paceline/layers/safetensors.h"
#include "paceline/net/arena.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;

class Run : public testing::Test {
 protected:
  Run() {
    use_sharing_scheduler(config, 2);
    options.groups = 2;
    options.workers = 4;
    options.batch = 16;
    options.tau = 2;
    options.tau_global = 4;
    options.score_window = 2;
    options.steps = 10;
    options.sgd.learning_rate = 0.01;
    options.directory = directory;
  }

  Result<RunSummary> go() {
    fs::remove_all(directory);
    fs::create_directories(directory);
    caf::actor_system system{config};
    return run(system, options, network, data, control, [this](const Progress& p) {
      if (on_progress) on_progress(p);
    });
  }
  std::vector<nlohmann::json> metrics() const {
    std::vector<nlohmann::json> lines;
    std::ifstream file(directory / "metrics.jsonl");
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
  std::size_t segments() const {
    std::size_t n = 0;
    const std::string mine = fmt::format("paceline.{}.{}.", ::getuid(), ::getpid());
    for (const auto& entry : fs::directory_iterator("/dev/shm"))
      n += entry.path().filename().string().starts_with(mine);
    return n;
  }

  const TemporaryFolder folder;
  const fs::path directory = folder / "run";
  caf::actor_system_config config;
  const Data data = open_data("synthetic:train=256,test=64").value();
  const Network network = Network::named("lenet", data.train->image, data.train->classes).value();
  RunOptions options;
  RunControl control;
  std::function<void(const Progress&)> on_progress;
};

TEST_F(Run, TakesExactlyTheStepsThatWerePlannedAndAsManyRounds) {
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().steps, 40u);
  EXPECT_EQ(summary.value().events.at("local_sync"), 5u) << "floor(40 / (4 tau))";
  EXPECT_EQ(summary.value().events.at("global_sync"), 2u) << "floor(40 / (4 tau_G))";
  EXPECT_EQ(summary.value().ended_by, "steps");
  EXPECT_GT(summary.value().events.at("pull"), 0u);
  EXPECT_TRUE(std::isfinite(summary.value().test_error_leader));
  EXPECT_TRUE(std::isfinite(summary.value().test_error_mean));
  EXPECT_EQ(segments(), 0u) << "no shared memory is left behind";
}

TEST_F(Run, LeavesEveryFileAndTellsEveryEvent) {
  ASSERT_TRUE(go());
  std::map<std::string, int> events;
  for (const auto& line : metrics()) {
    EXPECT_EQ(line.at("v"), 1);
    EXPECT_TRUE(line.at("t").is_number());
    for (const char* key : {"node", "group", "worker", "round"})
      EXPECT_TRUE(line.contains(key)) << line;
    ++events[line.at("event")];
  }
  for (const char* event : {"score", "leader", "pull", "evaluate"})
    EXPECT_GT(events[event], 0) << event;
  EXPECT_EQ(events["fault"], 0);
  EXPECT_TRUE(fs::exists(directory / "summary.json"));
  const auto leader = read_safetensors(directory / "leader.safetensors", network.layout());
  ASSERT_TRUE(leader) << leader.error().message;
}

TEST_F(Run, DeterministicGivesTheSameBitsAgain) {
  options.mode = Mode::barrier;
  options.deterministic = true;
  std::vector<float> results[2];
  for (auto& result : results) {
    const auto summary = go();
    ASSERT_TRUE(summary) << summary.error().message;
    EXPECT_EQ(summary.value().steps, 40u);
    result = read_safetensors(directory / "leader.safetensors", network.layout()).value();
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST_F(Run, AScheduleIsFollowedStepByStepAndToTheSameBits) {
  options.mode = Mode::barrier;
  options.deterministic = true;
  options.schedule = {.annealing = Annealing::cosine, .warm_up = 0.2};
  options.clip_norm = 1;
  options.decay_all = false;
  std::vector<float> results[2];
  for (auto& result : results) {
    const auto summary = go();
    ASSERT_TRUE(summary) << summary.error().message;
    // The middle of the last of ten steps.
    EXPECT_DOUBLE_EQ(
        summary.value().learning_rate,
        LearningRate(options.sgd.learning_rate, options.schedule).rate((10 - 0.5) / 10));
    EXPECT_GT(summary.value().events.at("clipped"), 0u);
    result = read_safetensors(directory / "leader.safetensors", network.layout()).value();
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST_F(Run, AScheduleFollowsTheClockWhereTheClockEndsTheRun) {
  options.steps = 0;
  options.minutes = 2.5 / 60;
  options.schedule = {.annealing = Annealing::cosine};
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_LT(summary.value().learning_rate, 0.2 * options.sgd.learning_rate);
  std::map<int, double> last;  // by worker
  std::size_t steps = 0;
  for (const auto& line : metrics()) {
    if (line.at("event") != "step") continue;
    ++steps;
    const double rate = line.at("learning_rate");
    if (const auto before = last.find(line.at("worker")); before != last.end()) {
      EXPECT_LT(rate, before->second);
    }
    last[line.at("worker")] = rate;
  }
  EXPECT_GT(steps, 0u);
}

TEST_F(Run, AStopEndsItWithWholeFiles) {
  options.steps = 1'000'000;
  on_progress = [this](const Progress& p) {
    if (p.steps > 8) control.stop();
  };
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().ended_by, "interrupt");
  EXPECT_TRUE(fs::exists(directory / "leader.safetensors"));
  EXPECT_TRUE(fs::exists(directory / "summary.json"));
}

TEST_F(Run, BarrierEndsAtAStopThoughSomeWaitForARound) {
  options.mode = Mode::barrier;
  options.deterministic = true;
  options.steps = 1'000'000;
  on_progress = [this](const Progress& p) {
    if (p.steps > 8) control.stop();
  };
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().ended_by, "interrupt");
}

TEST_F(Run, WorkersWhoseLossIsNotFiniteNeverLeadAndTheRunStillEnds) {
  options.sgd.learning_rate = 1e30;
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().steps, 40u);
  bool diverged = false;
  for (const auto& line : metrics()) {
    diverged = diverged || (line.at("event") == "score" && line.at("score").is_null());
    if (line.at("event") == "leader" && !line.at("worker").is_null()) {
      EXPECT_TRUE(line.at("score").is_number()) << line;
    }
  }
  EXPECT_TRUE(diverged) << "a learning rate of 1e30 should have made losses infinite";
}

TEST_F(Run, SnapshotsAreEvaluatedAfterTheTrainingClockHasStopped) {
  options.evaluate = Evaluate::after;
  options.evaluate_every = 0.01;
  options.steps = 1'000'000;
  int looks = 0;
  on_progress = [&](const Progress& p) {
    if (p.leader && ++looks == 4) control.stop();
  };
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  int snapshots = 0;
  for (const auto& line : metrics())
    snapshots +=
        line.at("event") == "evaluate" && line.at("t") < summary.value().train_seconds - 1e-9;
  EXPECT_GE(snapshots, 2) << "leader and mean of one snapshot at least";
  EXPECT_FALSE(fs::exists(directory / "snapshots")) << "evaluated snapshots are removed";
}

TEST_F(Run, EasgdTrainsOnTheSameActors) {
  options.protocol = "easgd";
  options.tau_global = RunOptions{}.tau_global;  // which mean nothing to it
  options.score_window = RunOptions{}.score_window;
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().steps, 40u);
  EXPECT_GT(summary.value().events.at("elastic"), 4u);
}

TEST_F(Run, EasgdHasSnapshotsOfItsCentreBeforeAnyWorkerPublishes) {
  options.protocol = "easgd";
  options.tau_global = RunOptions{}.tau_global;
  options.score_window = RunOptions{}.score_window;
  options.evaluate = Evaluate::after;
  options.evaluate_every = 0.01;
  options.steps = 1'000'000;
  int looks = 0;
  on_progress = [&](const Progress& p) {
    if (p.steps > 8 && ++looks == 4) control.stop();
  };
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().ended_by, "interrupt") << "that no worker has published is no error";
  int centres = 0;
  for (const auto& line : metrics())
    centres += line.at("event") == "evaluate" && line.at("of") == "leader";
  EXPECT_GE(centres, 2) << "a snapshot, and the end";
}

TEST_F(Run, DianaTrainsOnTheSameActors) {
  options.protocol = "diana";
  options.tau = RunOptions{}.tau;
  options.tau_global = RunOptions{}.tau_global;
  options.score_window = RunOptions{}.score_window;
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().steps, 40u);
  EXPECT_TRUE(std::isfinite(summary.value().test_error_leader));
}

TEST_F(Run, WhatMeansNothingToAProtocolIsRefused) {
  options.protocol = "easgd";
  const auto summary = go();
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().message,
            "--score-window 2 means nothing to --protocol easgd: leave it out");
}

TEST_F(Run, TwoRunsInOneProcessKeepApart) {
  options.steps = 6;
  fs::create_directories(directory);
  RunOptions other = options;
  other.directory = folder / "other";
  fs::create_directories(other.directory);
  caf::actor_system system{config};
  RunControl other_control;
  Result<RunSummary> second = fail(std::errc::timed_out, "never run");
  std::thread beside([&] { second = run(system, other, network, data, other_control, nullptr); });
  const auto first = run(system, options, network, data, control, nullptr);
  beside.join();
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(first.value().steps + second.value().steps, 48u);
}

TEST_F(Run, AnEngineThatCannotBeBuiltIsAnErrorAndLeavesNoRun) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer needs all of the address space";
#endif
  options.batch = std::size_t{1} << 20;  // hundreds of gibibytes of activations
  const rlimit before = [] {
    rlimit limit{};
    ::getrlimit(RLIMIT_AS, &limit);
    return limit;
  }();
  const rlimit small{std::size_t{16} << 30, before.rlim_max};
  ::setrlimit(RLIMIT_AS, &small);
  const auto summary = go();
  ::setrlimit(RLIMIT_AS, &before);
  ASSERT_FALSE(summary);
  EXPECT_NE(summary.error().message.find("worker "), std::string::npos) << summary.error().message;
  EXPECT_FALSE(fs::exists(directory / "metrics.jsonl"));
}

TEST_F(Run, MoreWorkersThanCoresWork) {
  options.workers = 2 * 4 * std::max(1u, std::thread::hardware_concurrency());
  options.steps = 4;
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().steps, 4u * options.workers);
}

TEST_F(Run, ChecksumsFindNothingWhereNobodyMeddlesAndChangeNoBit) {
  options.mode = Mode::barrier;
  options.deterministic = true;
  std::vector<float> results[2];
  for (const bool checksums : {false, true}) {
    options.slot_checksums = checksums;
    const auto summary = go();
    ASSERT_TRUE(summary) << summary.error().message;
    EXPECT_EQ(summary.value().events.count("damaged"), checksums ? 1u : 0u);
    if (checksums) {
      EXPECT_EQ(summary.value().events.at("damaged"), 0u);
    }
    results[checksums] =
        read_safetensors(directory / "leader.safetensors", network.layout()).value();
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST_F(Run, WhatSomebodyWritesIntoAPublishedSlotIsSaidOnceAndTheRunEndsWell) {
  options.groups = 1;
  options.workers = 2;
  options.slot_checksums = true;
  options.steps = 1'000'000;  // until the meddler has been found out
  options.evaluate = Evaluate::after;
  std::thread meddler;
  std::atomic<bool> ended{false};
  on_progress = [&](const Progress& p) {
    if (meddler.joinable() || p.steps == 0) return;
    meddler = std::thread([&] {
      // The first slots of the only group are those of its workers.
      std::string segment;
      for (const auto& entry : fs::directory_iterator("/dev/shm")) {
        const std::string name = entry.path().filename();
        const auto creator = Arena::creator("/" + name);
        if (creator && *creator == this_process() && name.ends_with("-group0"))
          segment = "/" + name;
      }
      const Arena arena = Arena::attach(segment, network.layout().hash()).value();
      const Slot slot = arena.slot(0);
      while (slot.damage().refused + slot.damage().changed < 3 && !ended) {
        const Pin pin = slot.pin();
        // Whoever is in the middle of reading them does not stay finite, and begins again.
        for (const std::byte& byte : pin.bytes().first(pin.bytes().size() / 2))
          const_cast<std::byte&>(byte) = std::byte{0xff};  // NOLINT: what is tested
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      control.stop();
    });
  };
  const auto summary = go();
  ended = true;
  if (meddler.joinable()) meddler.join();
  int said = 0;
  for (const auto& line : metrics())
    if (line.at("event") == "fault" &&
        line.at("text").get<std::string>().find("worker 0's parameters") == 0) {
      ++said;
      EXPECT_EQ(line.at("worker"), 0);
    }
  EXPECT_EQ(said, 1);
  if (summary) {
    EXPECT_GT(summary.value().events.at("damaged"), 1u);
    EXPECT_TRUE(std::isfinite(summary.value().test_error_leader));
  } else {  // the last to lead is the one that nobody can read
    EXPECT_NE(summary.error().message.find("checksum"), std::string::npos)
        << summary.error().message;
  }
}

TEST_F(Run, OneWorkerWorks) {
  options.groups = options.workers = 1;
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().steps, 10u);
  EXPECT_TRUE(fs::exists(directory / "leader.safetensors"));
}

TEST_F(Run, AFolderThatCannotBeWrittenIsOneClearError) {
  options.directory = "/proc/self";
  caf::actor_system system{config};
  const auto summary = run(system, options, network, data, control, nullptr);
  ASSERT_FALSE(summary);
  EXPECT_NE(summary.error().message.find("/proc/self/metrics.jsonl"), std::string::npos)
      << summary.error().message;
}

}  // namespace
}  // namespace paceline
