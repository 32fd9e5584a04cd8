// --pin: which processors the threads of a run may use, as the system tells.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/running_command.h"
#include "apps/run_processes.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

Words pinned_run(const fs::path& directory, const Words& more) {
  Words words{"train",     "--data", "synthetic:train=256,test=64",
              "--network", "lenet",  "--batch",
              "16",        "--run",  directory,
              "--quiet",   "--pin",  "--workers",
              "2"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// Where the threads of a process may run, each kind once.
std::set<std::string> allowed(pid_t process) {
  std::set<std::string> lists;
  std::error_code gone;
  for (const auto& task :
       fs::directory_iterator("/proc/" + std::to_string(process) + "/task", gone)) {
    std::ifstream status(task.path() / "status");
    for (std::string key, value; status >> key && std::getline(status, value);)
      if (key == "Cpus_allowed_list:") lists.insert(value.substr(value.find_first_not_of("\t ")));
  }
  return lists;
}

TEST(Pin, WorkersKeepToWhatTheSummarySays) {
  const TemporaryFolder folder;
  for (const char* isolation : {"thread", "process"}) {
    const fs::path run = folder / isolation;
    RunningCommand process(
        paceline_words(pinned_run(run, {"--minutes", "30", "--isolation", isolation})));
    ASSERT_TRUE(within_deadline([&] { return events(run, "step").size() >= 4; }));
    std::vector<std::set<std::string>> seen;
    for (const char* rank : {"0", "1"}) {
      const auto found = isolation == std::string("process")
                             ? workers_of(run, rank)
                             : processes_with(
                                   "train --data synthetic:train=256,test=64 --network "
                                   "lenet --batch 16 --run " +
                                   run.string());
      ASSERT_EQ(found.size(), 1u);
      seen.push_back(allowed(found[0]));
    }
    process.send(SIGINT);
    const Outcome outcome = process.wait(kDeadline);
    EXPECT_EQ(outcome.exit_code, 130) << outcome.errors;
    EXPECT_THAT(outcome.errors, HasSubstr("pinned to processors: worker 0 to "));
    EXPECT_TRUE(events(run, "fault").empty());
    const json pinned = json::parse(content(run / "summary.json")).at("pinned");
    ASSERT_EQ(pinned.size(), 2u);
    for (std::size_t rank = 0; rank < 2; ++rank)
      EXPECT_TRUE(seen[rank].contains(pinned[rank].get<std::string>()))
          << isolation << ", worker " << rank << " to " << pinned[rank];
  }
}

TEST(Pin, KeepsToWhatTheProcessMayUseAndSaysWhenThatIsTooLittle) {
  const TemporaryFolder folder;
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  int last = 0;
  for (int id = 0; id < CPU_SETSIZE; ++id)
    if (CPU_ISSET(id, &before)) last = id;
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);  // the child inherits it
  const Outcome outcome = run_paceline(pinned_run(folder / "run", {"--steps", "4"}));
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_THAT(outcome.errors, HasSubstr("there are too few for all: they share them evenly"));
  const std::string name = std::to_string(last);
  EXPECT_EQ(json::parse(content(folder / "run" / "summary.json")).at("pinned"), json({name, name}));
}

}  // namespace
}  // namespace paceline
