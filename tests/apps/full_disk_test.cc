// A disk that is full while a run writes: it ends cleanly with one line, and what has a final name
// is whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/child_process.h"
#include "apps/temporary_folder.h"

namespace paceline {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kDeadline{120};
constexpr const char* kTrain =
    " train --data synthetic:train=512,test=64 --network lenet --batch 16 --steps 20 --run ";

void expect_one_line_and_exit_code_2(const Outcome& outcome) {
  EXPECT_FALSE(outcome.overdue);
  EXPECT_EQ(outcome.signal, 0);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.errors;
  EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
}

/// Under its final name, a file is absent or whole; temporaries are gone.
void expect_whole_files(const std::filesystem::path& run) {
  for (const std::string& name : listing(run)) {
    const std::string bytes = content(run / name);
    if (name == "summary.json") {
      EXPECT_FALSE(json::parse(bytes, nullptr, false).is_discarded());
    } else if (name == "leader.safetensors") {
      ADD_FAILURE() << "the limit was meant to be too small for it";
    } else {
      EXPECT_TRUE(name == "config.ini" || name == "metrics.jsonl") << name;
    }
  }
}

TEST(FullDisk, ALimitOnFileSizesEndsTheRunCleanly) {
  const TemporaryFolder folder;
  // Of 1024 bytes each: smaller than any file of weights, larger than the configuration.
  ChildProcess child(
      {"bash", "-c",
       std::string("ulimit -f 64; exec ") + PACELINE_PROGRAM + kTrain + (folder / "run")});
  const Outcome outcome = child.wait(kDeadline);
  expect_one_line_and_exit_code_2(outcome);
  expect_whole_files(folder / "run");
}

TEST(FullDisk, EndsTheRunCleanly) {
  const TemporaryFolder folder;
  ChildProcess probe({"unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "-o",
                      "size=256k", "tmpfs", folder.path().string()});
  const Outcome probed = probe.wait(kDeadline);
  if (probed.exit_code != 0) GTEST_SKIP() << "no mount is permitted here: " << probed.errors;

  // The disk is gone with the shell, so what lies on it is copied out at the end.
  const std::string copies = folder / "copies";
  const TemporaryFolder disk;
  const std::string script = "mount -t tmpfs -o size=256k tmpfs " + disk.path().string() + " && " +
                             PACELINE_PROGRAM + kTrain + (disk / "run") + "; code=$?; cp -r " +
                             (disk / "run") + " " + copies + "; exit $code";
  ChildProcess child({"unshare", "--mount", "--map-root-user", "bash", "-c", script});
  const Outcome outcome = child.wait(kDeadline);
  expect_one_line_and_exit_code_2(outcome);
  EXPECT_FALSE(listing(copies).empty());
  expect_whole_files(copies);
}

}  // namespace
}  // namespace paceline
