// Runs of worker processes whose slots lie in a device's memory, which each process has at another
// address and no host can read (tests/actors/sharing_backend.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
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
using ::testing::Not;
using Words = std::vector<std::string>;

class SlotMemoryOfProcesses : public testing::Test {
 protected:
  Words words(const std::string& name, const Words& more) {
    run = folder / name;
    Words all{"train",     "--data",   "synthetic:train=512,test=256",
              "--network", "lenet",    "--batch",
              "16",        "--run",    run,
              "--quiet",   "--device", "sharing"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::vector<std::string> faults() const {
    std::vector<std::string> texts;
    for (const json& fault : events(run, "fault")) texts.push_back(fault.at("text"));
    return texts;
  }
  bool has_stepped(int worker) const {
    return std::ranges::any_of(events(run, "step"),
                               [&](const json& step) { return step.at("worker") == worker; });
  }
  const TemporaryFolder folder;
  fs::path run;
};

TEST_F(SlotMemoryOfProcesses, GiveTheSameBitsAsThreadsAndAsHostMemory) {
  std::vector<std::string> bits;
  for (const Words& kind :
       {Words{"host", "thread"}, Words{"device", "thread"}, Words{"device", "process"}}) {
    const Outcome outcome = run_paceline(
        words(kind[0] + kind[1], {"--groups", "2", "--workers", "4", "--tau", "2", "--tau-global",
                                  "4", "--steps", "16", "--mode", "barrier", "--deterministic",
                                  "--slot-memory", kind[0], "--isolation", kind[1]}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
    EXPECT_THAT(faults(), IsEmpty());
    bits.push_back(content(run / "leader.safetensors"));
  }
  EXPECT_TRUE(bits[0] == bits[1]);
  EXPECT_TRUE(bits[0] == bits[2]);
}

TEST_F(SlotMemoryOfProcesses, OutliveWorkersThatAreKilledAndComeWithThoseWhoAreAdded) {
  RunningCommand process(
      paceline_words(words("run", {"--workers", "2", "--max-workers", "4", "--minutes", "30",
                                   "--isolation", "process", "--slot-memory", "device"})));
  ASSERT_TRUE(within_deadline([&] { return has_stepped(0) && has_stepped(1); }));
  const std::vector<pid_t> victim = workers_of(run, "1");
  ASSERT_EQ(victim.size(), 1u);
  kill(victim[0], SIGKILL);
  const Outcome added = run_paceline({"workers", run, "+1"});
  EXPECT_EQ(added.exit_code, 0) << added.errors;
  ASSERT_TRUE(within_deadline([&] { return has_stepped(2); }));
  process.send(SIGINT);
  const Outcome outcome = process.wait(kDeadline);
  EXPECT_EQ(outcome.exit_code, 130) << outcome.errors;
  EXPECT_THAT(faults(), Contains(HasSubstr("worker 2 was added to group 0")));
  EXPECT_THAT(outcome.errors, Not(HasSubstr("cannot be read in this process")));
  EXPECT_TRUE(json::parse(content(run / "summary.json")).at("test_error_mean").is_number());
}

TEST_F(SlotMemoryOfProcesses, ThatCannotBeBorrowedAreNamed) {
  setenv("SHARING_REFUSES", "borrow", 1);
  const Outcome outcome = run_paceline(
      words("run", {"--workers", "2", "--steps", "8", "--isolation", "process", "--slot-memory",
                    "device", "--restarts", "0", "--begin-within", "20"}));
  unsetenv("SHARING_REFUSES");
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.errors, HasSubstr("lies in memory that this process cannot borrow: the "
                                        "device borrows nothing"));
}

}  // namespace
}  // namespace paceline
