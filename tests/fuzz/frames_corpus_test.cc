// The corpus of the frames' fuzz targets, without a fuzzer. Its files were packed by hand from
// docs/wire-formats.md, not by this code: what is good must be taken, what is bad refused.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "fuzz/frame_promises.h"
#include "net/hunt.h"
#include "test_seed.h"

namespace paceline {
namespace {

struct Entry {
  std::filesystem::path path;
  std::vector<std::byte> bytes;
  bool is_good() const { return path.filename().string().starts_with("good-"); }
};

std::vector<Entry> corpus() {
  std::vector<Entry> entries;
  for (const auto& file : std::filesystem::recursive_directory_iterator(PACELINE_FUZZ_CORPUS)) {
    if (!file.is_regular_file()) continue;
    std::ifstream stream(file.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    const auto bytes = std::as_bytes(std::span(text));
    entries.push_back({file.path(), {bytes.begin(), bytes.end()}});
  }
  return entries;
}

// FR-1
TEST(Frames, GoodOnesAreTakenAndBadOnesRefused) {
  const auto entries = corpus();
  ASSERT_GT(entries.size(), 50u);
  std::vector<bool> seen(std::variant_size_v<Frame>);
  for (const Entry& entry : entries) {
    EXPECT_EQ(check_frame(entry.bytes), entry.is_good()) << entry.path;
    if (!entry.is_good()) continue;
    const Frame frame = parse_frame(entry.bytes).value();
    const std::string folder = entry.path.parent_path().filename();
    std::visit([&](const auto& each) { EXPECT_EQ(folder, name_of(each.head.kind)); }, frame);
    seen[frame.index()] = true;
  }
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_TRUE(seen[i]) << "no good frame " << i;
}

// FR-1, FR-3: every entry with some bytes changed, cut or added.
TEST(Frames, WhateverIsChangedInThemTheyKeepTheirPromises) {
  std::mt19937_64 random(test_seed());
  std::size_t taken = 0, refused = 0;
  for (const Entry& entry : corpus())
    for (int turn = 0; turn < 200; ++turn) {
      std::vector<std::byte> bytes = entry.bytes;
      for (std::size_t i = random() % 4; i > 0 && !bytes.empty(); --i)
        bytes[random() % bytes.size()] = static_cast<std::byte>(random());
      if (random() % 4 == 0) bytes.resize(random() % 300);
      ++(check_frame(bytes) ? taken : refused);
      const auto kind = static_cast<FrameKind>(1 + random() % std::variant_size_v<Frame>);
      ++(check_body(kind, bytes) ? taken : refused);
    }
  EXPECT_GT(taken, 0u);
  EXPECT_GT(refused, 0u);
}

template <class F>
void expect_taken() {
  const auto frame = make_frame<F>();
  EXPECT_TRUE(parse_frame_head(bytes_of(frame))) << name_of(F::kKind);
  EXPECT_EQ(frame_bytes(F::kKind), sizeof frame);
}

TEST(Frames, EveryKindHasItsOwnLength) {
  const auto all = []<class... F>(std::type_identity<std::variant<F...>>) {
    (expect_taken<F>(), ...);
  };
  all(std::type_identity<Frame>());
  EXPECT_EQ(frame_bytes(static_cast<FrameKind>(0)), 0u);
  EXPECT_EQ(frame_bytes(static_cast<FrameKind>(19)), 0u);
}

}  // namespace
}  // namespace paceline
