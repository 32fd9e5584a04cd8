// Whole runs whose workers publish into a device's memory, which the host cannot read
// (sharing_backend.cc; GA-4, GA-5, DB-1), and what is refused. Processes are in tests/apps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "paceline/actors/caf_compat.h"
#include "paceline/actors/checkpoint.h"
#include "paceline/actors/group_arenas.h"
#include "paceline/actors/run.h"
#include "paceline/layers/network_file.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
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

class SlotMemoryRun : public testing::Test {
 protected:
  SlotMemoryRun() {
    use_sharing_scheduler(config, 2);
    options.groups = 2;
    options.workers = 4;
    options.batch = 8;
    options.tau = 2;
    options.tau_global = 4;
    options.score_window = 2;
    options.steps = 24;
    options.evaluate_every = 1000;
    options.device = "sharing";
    options.directory = folder / "run";
  }
  ~SlotMemoryRun() override { refuse(""); }

  static void refuse(const char* what) { ::setenv("SHARING_REFUSES", what, 1); }
  void deterministic() {
    options.mode = Mode::barrier;
    options.deterministic = true;
  }
  /// With what means something to it.
  void use(const char* protocol) {
    const RunOptions usual;
    options.protocol = protocol;
    options.tau_global = usual.tau_global;
    options.score_window = usual.score_window;
    if (options.protocol == "diana") options.tau = usual.tau;
  }
  Result<RunSummary> go(bool resume = false) {
    RunOptions o = options;
    if (!resume) fs::remove_all(o.directory);
    fs::create_directories(o.directory);
    if (resume) {
      auto from = read_newest_checkpoint(o.directory, network.layout());
      if (!from) return from.error();
      o.resume = std::make_shared<const Checkpoint>(std::move(from).value());
    }
    caf::actor_system system{config};
    RunControl control;
    return run(system, o, network, data, control, nullptr);
  }
  std::string leader() const { return content(options.directory / "leader.safetensors"); }
  std::string refusal() {
    const auto summary = go();
    return summary ? "it ran" : summary.error().message;
  }
  static Network build(const Data& data) {
    NetworkDescription description = parse_network(kNetwork, "small.net").value();
    description.name = "small";
    const Shape image = description.cropped(data.train->image);
    return Network::build(description, {.image = image, .classes = data.train->classes}).value();
  }

  const TemporaryFolder folder;
  caf::actor_system_config config;
  const Data data = open_data("synthetic:train=100,test=32").value();
  const Network network = build(data);
  RunOptions options;
};

TEST_F(SlotMemoryRun, GivesTheSameBitsWhereverSlotsLie) {
  deterministic();
  options.device = "cpu";
  ASSERT_TRUE(go());
  const std::string first = leader();
  options.device = "sharing";
  for (const SlotMemory memory : {SlotMemory::host, SlotMemory::device, SlotMemory::automatic}) {
    options.slot_memory = memory;
    const auto summary = go();
    ASSERT_TRUE(summary) << summary.error().message;
    EXPECT_EQ(leader(), first);
  }
}

TEST_F(SlotMemoryRun, CarriesEveryProtocolWithCheckpointsAndOnFromThem) {
  options.slot_memory = SlotMemory::device;
  options.checkpoint_steps = 8;
  for (const char* protocol : {"lsgd", "easgd", "diana"}) {
    if (protocol != std::string("lsgd")) use(protocol);
    options.steps = 24;
    auto summary = go();
    ASSERT_TRUE(summary) << protocol << ": " << summary.error().message;
    EXPECT_EQ(summary.value().steps, 96u);
    options.steps = 32;
    summary = go(true);
    ASSERT_TRUE(summary) << protocol << ": " << summary.error().message;
    EXPECT_EQ(summary.value().steps, 128u) << "steps before count";
    EXPECT_TRUE(std::isfinite(summary.value().test_error_leader));
    EXPECT_TRUE(std::isfinite(summary.value().test_error_mean));
  }
}

TEST_F(SlotMemoryRun, KeepsToHostMemoryWhereBytesMustBeSeen) {
  options.slot_checksums = true;
  const auto summary = go();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary.value().events.at("damaged"), 0u);
  options.slot_memory = SlotMemory::device;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("--slot-checksums contradicts --slot-memory device"),
                               HasSubstr("--slot-memory host")));
}

TEST_F(SlotMemoryRun, IsRefusedWhereDevicesCannotReadEachOther) {
  options.device = "cpu";
  options.slot_memory = SlotMemory::device;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("--slot-memory device"), HasSubstr("--device cpu"),
                               HasSubstr("give host")));
}

TEST_F(SlotMemoryRun, WhatTheDeviceCannotDoIsOneClearError) {
  refuse("map");
  EXPECT_THAT(refusal(), HasSubstr("the device maps nothing"));
  refuse("allocate");
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("the device is full"), HasSubstr("give --slot-memory host")));
}

class SlotDeviceArenas : public testing::Test {
 protected:
  static constexpr std::size_t kCount = 1000;
  static Layout layout() {
    Layout layout;
    layout.elements = kCount;
    layout.buffer_elements = 48;
    return layout;
  }
  Result<GroupArenas> create(SlotDevice slots) {
    return GroupArenas::create(protocol, math, layout(), place, "slots", {.worker = 4096}, false,
                               slots);
  }
  std::uint64_t publish(const GroupArenas& arenas, SlotRef ref, float value) {
    auto loan = arenas.slot(ref).loan();
    if (!loan) return 0;
    math.fill({loan->bytes().data(), loan->bytes().size() / sizeof(float)}, value);
    return std::move(*loan).publish();
  }
  /// All that a pin holds, if it is the same number all over.
  std::optional<float> held(const Pin& pin) {
    if (!pin) return std::nullopt;
    std::vector<float> values(pin.bytes().size() / sizeof(float));
    math.copy({values.data(), values.size()}, {pin.bytes().data(), values.size()});
    if (std::ranges::count(values, values[0]) != static_cast<std::ptrdiff_t>(values.size()))
      return std::nullopt;
    return values[0];
  }

  const Place place{2, 2, 2};  // 4 in group 0 and 5 in group 1 begin empty
  const Protocol& protocol = *find_protocol("diana");
  const std::unique_ptr<Device> device = open_device("sharing", {}).value();
  const VectorMath& math = device->math();
};

TEST_F(SlotDeviceArenas, HoldsWholeVectorsInTheDeviceAndCodesAndStatesInTheArena) {
  GroupArenas arenas = create({device.get(), true}).value();
  EXPECT_TRUE(arenas.slot({{0}, kParameters}).is_elsewhere());
  EXPECT_FALSE(arenas.slot({{0}, 1}).is_elsewhere()) << "a code";
  EXPECT_FALSE(arenas.state_slot({0}).is_elsewhere());
  EXPECT_TRUE(arenas.slot({place.global(), kParameters}).is_elsewhere());
  EXPECT_EQ(publish(arenas, {{2}, kParameters}, 7), 1u);
  ASSERT_TRUE(arenas.fetch(0, {{2}, kParameters}));
  EXPECT_EQ(held(arenas.pin(0, {{2}, kParameters}, 1)), 7.0F) << "with the buffers behind it";
  auto code = arenas.slot({{2}, 1}).loan();
  std::ranges::fill(code->bytes(), std::byte{9});
  std::move(*code).publish();
  ASSERT_TRUE(arenas.fetch(0, {{2}, 1}));
  EXPECT_EQ(arenas.pin(0, {{2}, 1}, 1).bytes().back(), std::byte{9});
}

TEST_F(SlotDeviceArenas, MapsTheMemoryOfASeatThatBeganEmptyOnceItIsThere) {
  for (const bool on_device : {false, true}) {
    GroupArenas arenas = create({device.get(), on_device}).value();
    const SlotRef newcomer{{5}, kParameters};
    EXPECT_EQ(arenas.newest(newcomer), 0u);
    EXPECT_FALSE(arenas.pin(1, newcomer, 0));
    ASSERT_TRUE(arenas.reserve({5}));
    ASSERT_TRUE(arenas.reserve({5})) << "again";
    EXPECT_EQ(publish(arenas, newcomer, 3), 1u) << "the device can reach it";
    EXPECT_EQ(held(arenas.pin(1, newcomer, 1)), 3.0F);
  }
}

TEST_F(SlotDeviceArenas, AnotherProcessMapsThatWhenItFirstLooks) {
  GroupArenas arenas = create({device.get(), false}).value();
  const auto theirs = open_device("sharing", {}).value();
  GroupArenas attached =
      GroupArenas::attach(protocol, theirs->math(), layout(), place, arenas.segments(),
                          {.worker = 4096}, {theirs.get(), false})
          .value();
  ASSERT_TRUE(arenas.reserve({4}));
  EXPECT_EQ(publish(arenas, {{4}, kParameters}, 3), 1u);
  const Pin pin = attached.pin(0, {{4}, kParameters}, 1);
  ASSERT_TRUE(pin);
  EXPECT_GT(theirs->math().norm_squared({pin.bytes().data(), kCount}), 0) << "not an abort";
  EXPECT_TRUE(attached.state_slot({4}).loan());
}

TEST_F(SlotDeviceArenas, WhatCannotBeMappedLaterIsNotPinnedThere) {
  GroupArenas arenas = create({device.get(), false}).value();
  const auto theirs = open_device("sharing", {}).value();
  const GroupArenas attached =
      GroupArenas::attach(protocol, theirs->math(), layout(), place, arenas.segments(),
                          {.worker = 4096}, {theirs.get(), false})
          .value();
  ASSERT_TRUE(arenas.reserve({4}));
  EXPECT_EQ(publish(arenas, {{4}, kParameters}, 3), 1u);
  ::setenv("SHARING_REFUSES", "map", 1);
  EXPECT_FALSE(attached.pin(0, {{4}, kParameters}, 1));
  ::setenv("SHARING_REFUSES", "", 1);
  EXPECT_FALSE(attached.pin(0, {{4}, kParameters}, 1)) << "it is said once, and no more is tried";
  EXPECT_EQ(attached.newest({{4}, kParameters}), 1u);
}

TEST_F(SlotDeviceArenas, OfAnotherKindAreRefusedWhoAttaches) {
  const GroupArenas arenas = create({device.get(), false}).value();
  const auto other = GroupArenas::attach(protocol, math, layout(), place, arenas.segments(),
                                         {.worker = 4096}, {device.get(), true});
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("other slots than this protocol"));
}

}  // namespace
}  // namespace paceline
