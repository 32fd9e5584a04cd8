// Runs whose workers compute on different kinds of devices (DT-1): the CPU, the plain loops, and a device
// whose memory the host cannot read (sharing_backend.cc). Processes are in tests/apps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "paceline/actors/caf_compat.h"
#include "paceline/actors/checkpoint.h"
#include "paceline/actors/run.h"
#include "paceline/layers/network_file.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kNetwork = R"(
image 3x8x8
learning-rate 0.05
conv 4 3x3 pad 1 no-bias
bn
relu
maxpool 2x2
linear classes
)";

class MixedDevices : public testing::Test {
 protected:
  MixedDevices() {
    use_sharing_scheduler(config, 2);
    options.directory = directory;
    options.workers = 2;
    options.batch = 8;
    options.tau = 2;
    options.tau_global = 4;
    options.score_window = 2;
    options.steps = 24;
    options.evaluate_every = 1000;
    options.mode = Mode::barrier;
    options.deterministic = true;
  }
  Result<RunSummary> go(const std::string& device) {
    options.device = device;
    fs::remove_all(directory);
    fs::create_directories(directory);
    caf::actor_system system{config};
    RunControl control;
    return run(system, options, network, data, control, nullptr);
  }
  std::string leader() const { return content(directory / "leader.safetensors"); }
  /// Each worker's parameters in the last checkpoint.
  std::vector<std::vector<float>> parameters() const {
    const Checkpoint last = read_newest_checkpoint(directory, network.layout()).value();
    std::vector<std::vector<float>> all;
    for (const auto& [rank, worker] : last.workers) {
      const std::span<const float> x = worker.vectors.at("x");
      all.emplace_back(x.begin(), x.end());
    }
    return all;
  }
  static Network build(const Data& data) {
    NetworkDescription description = parse_network(kNetwork, "small.net").value();
    description.name = "small";
    const Shape image = description.cropped(data.train->image);
    return Network::build(description, {.image = image, .classes = data.train->classes}).value();
  }

  const TemporaryFolder folder;
  const fs::path directory = folder / "run";
  caf::actor_system_config config;
  const Data data = open_data("synthetic:train=100,test=32").value();
  const Network network = build(data);
  RunOptions options;
};

TEST_F(MixedDevices, GiveEachWorkerTheBitsOfItsOwn) {
  options.pull = options.pull_global = 0;  // nobody's bits come to others
  options.checkpoint_steps = 24;
  ASSERT_TRUE(go("cpu"));
  const auto cpu = parameters();
  ASSERT_TRUE(go("reference"));
  const auto reference = parameters();
  ASSERT_EQ(cpu.size(), 2u);
  ASSERT_NE(cpu[0], reference[0]);
  ASSERT_NE(cpu[1], reference[1]);
  ASSERT_TRUE(go("cpu,reference"));
  EXPECT_THAT(parameters(), ElementsAre(cpu[0], reference[1]));
  ASSERT_TRUE(go("reference,cpu"));
  EXPECT_THAT(parameters(), ElementsAre(reference[0], cpu[1]));
}

TEST_F(MixedDevices, FollowLeadersOfOtherKindsAndRepeatTheirBits) {
  for (const char* devices : {"cpu,reference", "cpu,sharing", "sharing,cpu"}) {
    const auto summary = go(devices);
    ASSERT_TRUE(summary) << devices << ": " << summary.error().message;
    EXPECT_GT(summary.value().events.at("pull"), 0u) << "two workers: each pull is from the other";
    const std::string first = leader();
    ASSERT_TRUE(go(devices));
    EXPECT_TRUE(leader() == first) << devices;
  }
}

// The device `sharing` computes as the CPU: bits show that nothing but a worker's own device has to do
// with where its leader's parameters come from.
TEST_F(MixedDevices, AreDealtOutOverGroupsAndSeatsAndLeaveTheBitsAlone) {
  options.groups = 2;
  options.workers = 4;
  ASSERT_TRUE(go("cpu"));
  const std::string cpu = leader();
  const auto summary = go("cpu,sharing,sharing");
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_THAT(summary.value().devices, ElementsAre("cpu", "sharing", "sharing", "cpu"));
  EXPECT_TRUE(leader() == cpu);
}

TEST_F(MixedDevices, AreNamedByTheRunsRecords) {
  options.deterministic = false;
  options.mode = Mode::nonblocking;
  options.steps = 0;
  options.minutes = 1.5 / 60;  // a worker speaks once a second
  const auto summary = go("reference,cpu");
  ASSERT_TRUE(summary) << summary.error().message;
  std::ifstream metrics(directory / "metrics.jsonl");
  bool told = false;
  for (std::string line; std::getline(metrics, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json.at("event") != "step") continue;
    const auto rank = json.at("worker").get<std::size_t>();
    EXPECT_EQ(json.at("device"), summary.value().devices[rank]);
    told = true;
  }
  EXPECT_TRUE(told);
}

TEST_F(MixedDevices, CarryCentresAndAverages) {
  options.deterministic = false;
  options.mode = Mode::nonblocking;
  options.tau_global = RunOptions{}.tau_global;
  options.score_window = RunOptions{}.score_window;
  for (const char* protocol : {"easgd", "diana"})
    for (const char* devices : {"cpu,sharing", "sharing,reference"}) {
      options.protocol = protocol;
      options.tau = protocol == std::string("diana") ? RunOptions{}.tau : 2;
      const auto summary = go(devices);
      ASSERT_TRUE(summary) << protocol << ", " << devices << ": " << summary.error().message;
      EXPECT_EQ(summary.value().steps, 48u);
      EXPECT_TRUE(std::isfinite(summary.value().test_error_mean));
    }
}

TEST_F(MixedDevices, ThatCannotBeAreRefusedInOneLine) {
  const auto message = [&](const std::string& devices) {
    const auto summary = go(devices);
    return summary ? "it ran" : summary.error().message;
  };
  EXPECT_THAT(message("cpu,,reference"), HasSubstr("has an empty name"));
  EXPECT_THAT(message("cpu,reference,cpu"),
              AllOf(HasSubstr("deals 3 devices out over 2 workers"), HasSubstr("more workers")));
  EXPECT_THAT(message("cpu,Banana"), HasSubstr("\"Banana\" is no backend's name"));
  options.slot_memory = SlotMemory::device;
  EXPECT_THAT(message("sharing,cpu"), AllOf(HasSubstr("--slot-memory device"),
                                            HasSubstr("sharing,cpu"), HasSubstr("give host")));
}

}  // namespace
}  // namespace paceline
