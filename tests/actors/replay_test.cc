// Runs on real actors that keep their course, and the same courses lived again in the simulator; and
// deterministic runs against the virtual-time driver with the same engine.
#include "paceline/actors/simulation/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "paceline/actors/caf_compat.h"
#include "paceline/actors/protocol_settings.h"
#include "paceline/actors/run.h"
#include "paceline/actors/simulation/virtual_time.h"
#include "paceline/layers/network_file.h"
#include "paceline/layers/safetensors.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Steps of a fraction of a millisecond, with masks that a stream of each worker's draws.
constexpr const char* kNetwork = R"(image 3x32x32
conv 8 5x5 stride 2
relu
maxpool 2x2
dropout 0.2
linear classes
)";

class Replayed : public testing::Test {
 protected:
  Replayed() {
    use_sharing_scheduler(config, 2);
    options.groups = 2;
    options.workers = 4;
    options.batch = 8;
    options.tau = 2;
    options.tau_global = 4;
    options.score_window = 2;
    options.steps = 24;
    options.sgd.learning_rate = 0.01;
    options.directory = directory;
    options.record = file;
  }

  RunSummary go() {
    fs::remove_all(directory);
    fs::create_directories(directory);
    caf::actor_system system{config};
    auto summary = run(system, options, network, data, control, {});
    EXPECT_TRUE(summary) << summary.error().message;
    return summary ? summary.value() : RunSummary{};
  }
  std::vector<float> leader() const {
    return read_safetensors(directory / "leader.safetensors", network.layout()).value();
  }
  Course course() const {
    auto read = read_course(file);
    EXPECT_TRUE(read) << read.error().message;
    return read ? read.value() : Course{};
  }
  static std::vector<float> values(const Pin& pin) {
    std::vector<float> x(pin.bytes().size() / sizeof(float));
    std::memcpy(x.data(), pin.bytes().data(), pin.bytes().size());
    return x;
  }

  /// Lives the course again, and expects the run's bits, steps and counts.
  void expect_the_same(const RunSummary& summary) {
    const Course again = course();
    auto training = Training::create(options, network, data);
    ASSERT_TRUE(training) << training.error().message;
    auto replay = Replay::create(again, *training.value());
    ASSERT_TRUE(replay) << replay.error().message;
    const auto lived = replay.value().run();
    ASSERT_TRUE(lived) << lived.error().message;
    EXPECT_EQ(replay.value().difference(), "");
    EXPECT_EQ(replay.value().steps(), summary.steps);
    EXPECT_EQ(values(replay.value().result()), leader());
    for (const auto& [name, n] : summary.events) EXPECT_EQ(replay.value().count(name), n) << name;
  }

  const TemporaryFolder folder;
  const fs::path directory = folder / "run", file = folder / "course";
  caf::actor_system_config config;
  static Network build(const Data& data, std::size_t classes) {
    NetworkDescription description = parse_network(kNetwork, "small.net").value();
    const Shape image = description.cropped(data.train->image);
    return Network::build(std::move(description), {.image = image, .classes = classes}).value();
  }
  const Data data = open_data("synthetic:train=128,test=32").value();
  const Network network = build(data, data.train->classes);
  RunOptions options;
  RunControl control;
};

TEST_F(Replayed, NonblockingLsgdTakesTheSameTrajectory) {
  options.steps = 100;
  const RunSummary summary = go();
  EXPECT_GT(summary.events.at("pull"), 0u);
  expect_the_same(summary);
}

TEST_F(Replayed, BarrierLsgdTakesTheSameTrajectoryThoughItsRoundsFallAnywhere) {
  options.mode = Mode::barrier;
  expect_the_same(go());
}

TEST_F(Replayed, DeterministicLsgdTakesTheSameTrajectory) {
  options.mode = Mode::barrier;
  options.deterministic = true;
  expect_the_same(go());
}

TEST_F(Replayed, ARateThatFollowsTheStepsOfAllAndAClippedGradientAreRepeated) {
  options.schedule = {.annealing = Annealing::cosine, .warm_up = 0.2};
  options.clip_norm = 1;
  expect_the_same(go());
}

TEST_F(Replayed, CentresAndAveragesTakeTheSameTrajectory) {
  for (const char* protocol : {"easgd", "downpour", "minibatch-sgd", "swarm"}) {
    SCOPED_TRACE(protocol);
    options.protocol = protocol;
    if (!find_protocol(protocol)->takes(options.sgd.form)) {
      options.sgd.form = Momentum::none;
      options.sgd.momentum = 0;
    }
    options.tau_global = RunOptions{}.tau_global;
    options.tau = RunOptions{}.tau;
    options.score_window = RunOptions{}.score_window;
    expect_the_same(go());
  }
}

// Without a course: lockstep decides all that timing could.
TEST_F(Replayed, LockstepIsTheSameInVirtualTimeAndOnActorsBitForBit) {
  options.mode = Mode::barrier;
  options.deterministic = true;
  options.record.clear();
  go();
  auto training = Training::create(options, network, data);
  ASSERT_TRUE(training) << training.error().message;
  VirtualRun run;
  run.protocol = find_protocol("lsgd");
  run.settings = settings_for(*run.protocol, training.value()->options());
  run.place = training.value()->context().place;
  run.dimension = training.value()->dimension();
  run.math = &training.value()->math();
  run.sgd = training.value()->options().sgd;
  run.engine = [&](Rank rank) { return training.value()->engine(rank); };
  run.initial = [&](Address, Vector x) {
    std::memcpy(x.data, training.value()->initial().data(), x.count * sizeof(float));
  };
  run.steps = options.steps;
  run.seed = options.seed;
  for (const std::uint32_t spread : {0u, 150u}) {
    run.conditions.spread_percent = spread;
    VirtualTime time = VirtualTime::create(run).value();
    time.run();
    ASSERT_NE(time.leading(), Address{});
    const Pin pin = time.role(time.leading()).slot(kParameters).pin();
    EXPECT_EQ(values(pin), leader()) << "with a spread of " << spread << " %";
  }
}

TEST_F(Replayed, ADifferentSeedIsToldAtItsFirstLoss) {
  go();
  options.seed = 2;
  const Course other = course();
  auto training = Training::create(options, network, data);
  Replay replay = Replay::create(other, *training.value()).value();
  static_cast<void>(replay.run());
  EXPECT_THAT(replay.difference(), HasSubstr("loss at its step 1 is"));
}

TEST_F(Replayed, ACourseThatDoesNotFitNamesTheRoleAndTheStep) {
  go();
  Course wrong = course();
  const auto is_gradient = [](const CourseEntry& e) {
    return e.kind == CourseEntry::Kind::gradient;
  };
  const auto first = std::ranges::find_if(wrong.entries, is_gradient);
  ASSERT_NE(first, wrong.entries.end());
  const std::uint32_t worker = first->role;
  // Its third gradient never was: it takes one where it got a message, or looks for that too early.
  int gradients = 0;
  std::erase_if(wrong.entries, [&](const CourseEntry& e) {
    return is_gradient(e) && e.role == worker && ++gradients == 3;
  });
  auto training = Training::create(options, network, data);
  Replay replay = Replay::create(wrong, *training.value()).value();
  const auto lived = replay.run();
  ASSERT_FALSE(lived);
  EXPECT_THAT(lived.error().message,
              HasSubstr(fmt::format("does not fit: worker {}, after 2 steps, ", worker)));
}

TEST_F(Replayed, WhatIsNeverSentIsNamed) {
  options.mode = Mode::barrier;
  options.deterministic = true;  // every worker has its part, and hears of the others
  go();
  Course wrong = course();
  const auto got = std::ranges::find_if(wrong.entries, [&](const CourseEntry& e) {
    return e.kind == CourseEntry::Kind::received && e.role < options.workers &&
           e.word != CourseEntry::kNothing;
  });
  ASSERT_NE(got, wrong.entries.end());
  got->value += 1000;
  auto training = Training::create(options, network, data);
  Replay replay = Replay::create(wrong, *training.value()).value();
  const auto lived = replay.run();
  ASSERT_FALSE(lived);
  EXPECT_THAT(lived.error().message, HasSubstr("never sent"));
  EXPECT_THAT(lived.error().message, HasSubstr(fmt::format("worker {}", got->role)));
}

TEST_F(Replayed, OtherNetworksAndDataAndCrashesAreRefused) {
  go();
  const Course right = course();
  const Data more = open_data("synthetic:train=130,test=32").value();
  auto other = Training::create(options, network, more);
  EXPECT_THAT(Replay::create(right, *other.value()).error().message, HasSubstr("other data"));
  const Network wide = build(data, data.train->classes + 1);
  other = Training::create(options, wide, data);
  EXPECT_THAT(Replay::create(right, *other.value()).error().message, HasSubstr("another network"));
  Course crashed = right;
  for (CourseEntry& e : crashed.entries)
    if (e.kind == CourseEntry::Kind::ended && e.role == 1) e.word = 1;
  other = Training::create(options, network, data);
  EXPECT_THAT(Replay::create(crashed, *other.value()).error().message,
              HasSubstr("worker 1 ended before its time"));
}

// CO-3
TEST_F(Replayed, FilesThatAreNoWholeCourseAreRefused) {
  go();
  const std::string whole = [&] {
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }();
  const auto message = [&](const std::string& text) {
    std::ofstream(file, std::ios::binary) << text;
    const auto read = read_course(file);
    return read ? "" : read.error().message;
  };
  EXPECT_EQ(message(whole), "");
  EXPECT_THAT(message("v,1,2\n"), HasSubstr("is no course"));
  EXPECT_THAT(message(""), HasSubstr("is no course"));
  for (const std::size_t left : {whole.size() - 1, whole.size() - 16, whole.size() / 2, 50ul})
    EXPECT_THAT(message(whole.substr(0, left)), HasSubstr("is cut off")) << left;
  std::string changed = whole;
  changed[whole.size() / 2] ^= 1;
  EXPECT_THAT(message(changed), HasSubstr("is damaged"));
  changed = whole;
  changed[8] = 9;
  EXPECT_THAT(message(changed), HasSubstr("version 9"));
  EXPECT_THAT(read_course(folder / "none").error().message, HasSubstr("is no file"));
}

}  // namespace
}  // namespace paceline
