// A disk that is full while a run writes: it ends cleanly with one line, and what has a final name
// is whole.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/running_command.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kDeadline{600};
constexpr const char* kTrain =
    " train --data synthetic:train=512,test=64 --network lenet --batch 16 --workers 4 --steps 60 "
    "--run ";

void expect_one_line_and_exit_code_2(const Outcome& outcome) {
  EXPECT_FALSE(outcome.overdue);
  EXPECT_EQ(outcome.signal, 0);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.errors;
  EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
}

/// Under its final name, a file is absent or whole; temporaries are gone. Metrics, which grow, may
/// end within a line.
void expect_whole_files(const std::filesystem::path& run) {
  for (const std::string& name : listing(run)) {
    const std::string bytes = content(run / name);
    if (name == "summary.json") {
      EXPECT_FALSE(json::parse(bytes, nullptr, false).is_discarded());
    } else if (name == "leader.safetensors") {
      ADD_FAILURE() << "the limit was meant to be too small for it";
    } else if (name == "metrics.jsonl") {
      std::istringstream lines(bytes);
      for (std::string line; std::getline(lines, line) && !lines.eof();) {
        EXPECT_FALSE(json::parse(line, nullptr, false).is_discarded()) << line;
      }
    } else {
      EXPECT_EQ(name, "config.ini");
    }
  }
}

TEST(FullDisk, ALimitOnFileSizesThatLetsNoArenaBeMadeIsToldBeforeTheRunBegins) {
  const TemporaryFolder folder;
  // Of 1024 bytes each: smaller than an arena, larger than the configuration.
  RunningCommand child(
      {"bash", "-c",
       std::string("ulimit -f 64; exec ") + PACELINE_PROGRAM + kTrain + (folder / "run").string()});
  const Outcome outcome = child.wait(kDeadline);
  expect_one_line_and_exit_code_2(outcome);
  EXPECT_THAT(outcome.errors, testing::HasSubstr("ulimit -f"));
  EXPECT_FALSE(std::filesystem::exists(folder / "run")) << "nothing that looks like a run";
}

/// Trains on a disk of so many KiB and expects it to fill up.
void train_on_small_disk(int kibibytes, const std::string& file_that_does_not_fit) {
  const TemporaryFolder disk, copies;
  const std::string mount =
      fmt::format("mount -t tmpfs -o size={}k tmpfs {}", kibibytes, disk.path().string());
  RunningCommand probe({"unshare", "--mount", "--map-root-user", "bash", "-c", mount});
  const Outcome probed = probe.wait(kDeadline);
  if (probed.exit_code != 0) GTEST_SKIP() << "no mount is permitted here: " << probed.errors;

  // The disk is gone with its shell, so what lies on it is copied out at the end.
  const std::string script =
      fmt::format("{} && {}{}{run}; code=$?; cp -r {run} {}; exit $code", mount, PACELINE_PROGRAM,
                  kTrain, copies.path().string(), fmt::arg("run", (disk / "run").string()));
  RunningCommand child({"unshare", "--mount", "--map-root-user", "bash", "-c", script});
  const Outcome outcome = child.wait(kDeadline);
  expect_one_line_and_exit_code_2(outcome);
  EXPECT_THAT(outcome.errors, ::testing::HasSubstr(file_that_does_not_fit));
  EXPECT_FALSE(listing(copies / "run").empty());
  expect_whole_files(copies / "run");
}

TEST(FullDisk, UnderTheMetricsEndsTheRunCleanly) { train_on_small_disk(8, "metrics.jsonl"); }

TEST(FullDisk, UnderTheWeightsEndsTheRunCleanly) { train_on_small_disk(256, "leader.safetensors"); }

}  // namespace
}  // namespace paceline
