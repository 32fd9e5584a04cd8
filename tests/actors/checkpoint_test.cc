#include "paceline/actors/checkpoint.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() {
    std::iota(values.begin(), values.end(), 0.0F);
    c.protocol = "lsgd";
    c.network = network.name();
    c.data = "synthetic";
    c.layout = layout.hash();
    c.seed = ~0ull;
    c.seats = 2;
    c.steps = 40;
    c.train_seconds = 1.0 / 3;
    c.leader = 1;
    c.leader_changes = 3;
    c.in_step = true;
    for (const Rank rank : {0u, 1u}) {
      RoleCheckpoint& role = c.workers[rank];
      role.steps = 20 + rank;
      role.rng = 0xfedcba9876543210ull + rank;
      role.stream = {.epoch = 2, .position = 7, .rng = 0x8000000000000001ull};
      role.numbers["window"] = {20, 0.1, std::numeric_limits<double>::infinity(), -0.0,
                                std::numeric_limits<double>::quiet_NaN()};
      const auto x = std::span(values).first(layout.elements);
      role.vectors = {{"x", x}, {"momentum", x}};
    }
    c.model = std::span(values).first(layout.all_elements());
  }
  fs::path write(std::uint64_t steps, std::size_t keep = 3) {
    c.steps = steps;
    const auto files = write_checkpoint(run, c, layout, {{"network", "lenet"}}, keep);
    EXPECT_TRUE(files) << files.error().message;
    return files ? files.value().path : fs::path();
  }

  const TemporaryFolder folder;
  const fs::path run = folder.path();
  const Network network = Network::named("lenet", {1, 28, 28}, 10).value();
  const Layout& layout = network.layout();
  std::vector<float> values = std::vector<float>(layout.all_elements());
  Checkpoint c;
};

TEST_F(CheckpointTest, ComesBackBitForBit) {
  const fs::path path = write(40);
  EXPECT_EQ(path, run / "checkpoints/step-0000000040");
  EXPECT_EQ(listing(path), (std::vector<std::string>{"leader.safetensors", "state.json",
                                                     "workers.safetensors"}));
  const auto read = read_newest_checkpoint(run, layout);
  ASSERT_TRUE(read) << read.error().message;
  const Checkpoint& back = read.value();
  EXPECT_EQ(back.path, path);
  EXPECT_EQ(back.protocol, c.protocol);
  EXPECT_EQ(back.network, c.network);
  EXPECT_EQ(back.data, c.data);
  EXPECT_EQ(back.seed, c.seed);
  EXPECT_EQ(back.seats, c.seats);
  EXPECT_EQ(back.steps, 40u);
  EXPECT_EQ(back.train_seconds, c.train_seconds);
  EXPECT_EQ(back.leader, 1u);
  EXPECT_EQ(back.leader_changes, 3u);
  EXPECT_TRUE(back.in_step);
  EXPECT_FALSE(back.centre);
  EXPECT_TRUE(back.passed_over.empty());
  ASSERT_EQ(back.workers.size(), 2u);
  for (const auto& [rank, role] : c.workers) {
    const RoleCheckpoint& same = back.workers.at(rank);
    EXPECT_EQ(same.steps, role.steps);
    EXPECT_EQ(same.rng, role.rng);
    EXPECT_EQ(same.stream, role.stream);
    const auto &window = role.numbers.at("window"), &again = same.numbers.at("window");
    ASSERT_EQ(again.size(), window.size());
    for (std::size_t i = 0; i < window.size(); ++i)
      EXPECT_EQ(std::bit_cast<std::uint64_t>(again[i]), std::bit_cast<std::uint64_t>(window[i]));
    ASSERT_EQ(same.vectors.size(), 2u);
    for (const auto& [name, vector] : role.vectors)
      EXPECT_TRUE(std::ranges::equal(same.vectors.at(name), vector)) << name;
  }
  // Only what the layout has: padding comes back as zero.
  for (const Tensor& t : layout.tensors)
    for (std::size_t i = t.offset; i < t.offset + t.count; ++i)
      ASSERT_EQ(back.model[i], values[i]) << t.name;
}

TEST_F(CheckpointTest, TheLastFewAreKept) {
  for (const std::uint64_t steps : {10, 20, 30, 40}) write(steps, 2);
  EXPECT_EQ(listing(checkpoint_folder(run)),
            (std::vector<std::string>{"step-0000000030", "step-0000000040"}));
}

TEST_F(CheckpointTest, OneOfTheSameStepsIsReplaced) {
  write(10);
  c.leader_changes = 9;
  write(10);
  EXPECT_EQ(listing(checkpoint_folder(run)), (std::vector<std::string>{"step-0000000010"}));
  EXPECT_EQ(read_newest_checkpoint(run, layout).value().leader_changes, 9u);
}

TEST_F(CheckpointTest, WhatIsDamagedInAnyWayIsPassedOverForTheOneBefore) {
  const auto truncate = [](const fs::path& file) { fs::resize_file(file, fs::file_size(file) - 1); };
  const auto remove = [](const fs::path& file) { fs::remove(file); };
  const auto empty = [](const fs::path& file) { fs::resize_file(file, 0); };
  const auto flip = [](const fs::path& file) {
    std::vector<std::uint8_t> bytes = read_bytes(file);
    bytes[bytes.size() * 2 / 3] ^= 1;
    write_bytes(file, bytes);
  };
  const std::vector<std::function<void(const fs::path&)>> damages{truncate, remove, empty, flip};
  for (const char* file : {"state.json", "workers.safetensors", "leader.safetensors"}) {
    for (const auto& damage : damages) {
      write(10);
      const fs::path newest = write(20);
      damage(newest / file);
      const auto read = read_newest_checkpoint(run, layout);
      ASSERT_TRUE(read) << read.error().message;
      EXPECT_EQ(read.value().steps, 10u) << file;
      ASSERT_EQ(read.value().passed_over.size(), 1u);
      EXPECT_NE(read.value().passed_over[0].find("step-0000000020"), std::string::npos);
      tidy_checkpoints(run, read.value());
      EXPECT_EQ(listing(checkpoint_folder(run)),
                (std::vector<std::string>{"damaged-step-0000000020", "step-0000000010"}));
      fs::remove_all(checkpoint_folder(run));
    }
  }
}

TEST_F(CheckpointTest, WhatIsUnfinishedIsNeverReadAndSweptAway) {
  const fs::path whole = write(10);
  const fs::path unfinished = checkpoint_folder(run) / ".step-0000000020.tmp";
  fs::copy(whole, unfinished, fs::copy_options::recursive);
  fs::create_directories(checkpoint_folder(run) / "step-20-of-mine");
  const auto read = read_newest_checkpoint(run, layout);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read.value().steps, 10u);
  tidy_checkpoints(run, read.value());
  EXPECT_FALSE(fs::exists(unfinished));
}

TEST_F(CheckpointTest, AnotherNetworkAndNoCheckpointAreSaidInOneLine) {
  const auto none = read_newest_checkpoint(run, layout);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("--checkpoint-every"), std::string::npos);
  write(10);
  const Network other = Network::named("cnn6", {1, 32, 32}, 10).value();
  const auto read = read_newest_checkpoint(run, other.layout());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, std::errc::invalid_argument);
  EXPECT_NE(read.error().message.find("lenet"), std::string::npos) << read.error().message;
}

TEST_F(CheckpointTest, WhatCannotBeWrittenLeavesTheOlderOnesAndNothingUnfinished) {
  write(10);
  fs::create_directories(checkpoint_folder(run) / "step-0000000020");
  write_bytes(checkpoint_folder(run) / ".step-0000000030.tmp", std::vector<std::uint8_t>{1});
  c.steps = 30;  // a file where its folder would be is removed, as any leftover
  ASSERT_TRUE(write_checkpoint(run, c, layout, {}, 3));
  fs::permissions(checkpoint_folder(run), fs::perms::owner_read | fs::perms::owner_exec);
  c.steps = 40;
  const bool root = ::geteuid() == 0;
  const auto refused = write_checkpoint(run, c, layout, {}, 3);
  fs::permissions(checkpoint_folder(run), fs::perms::owner_all);
  if (root) GTEST_SKIP() << "nothing is forbidden to root";
  ASSERT_FALSE(refused);
  EXPECT_EQ(read_newest_checkpoint(run, layout).value().steps, 30u);
}

}  // namespace
}  // namespace paceline
