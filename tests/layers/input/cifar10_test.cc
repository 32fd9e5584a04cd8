#include "paceline/layers/input/cifar10.h"

#include <gmock/gmock.h>

#include <functional>

#include "temporary_folder.h"

namespace paceline {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::size_t kRecord = 3073, kWhole = 10'000 * kRecord;

/// Six files of the right length that hold black images of class 0, as holes on the disk, but for
/// the first record and the last: label 3, then planes of 10, 20, 30 whose first pixel is 11,
/// 22, 33.
void write_set(const std::filesystem::path& folder) {
  std::vector<std::uint8_t> record(kRecord);
  record[0] = 3;
  for (std::size_t c = 0; c < 3; ++c) {
    const auto tens = static_cast<std::uint8_t>(10 * (c + 1));
    std::fill_n(&record[1 + c * 1024], 1024, tens);
    record[1 + c * 1024] = static_cast<std::uint8_t>(tens + c + 1);
  }
  for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                           "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}) {
    write_bytes(folder / name, record);
    std::filesystem::resize_file(folder / name, kWhole - kRecord);
    std::ofstream file(folder / name, std::ios::binary | std::ios::app);
    file.write(reinterpret_cast<const char*>(record.data()), kRecord);
  }
}

void overwrite(const std::filesystem::path& path, std::size_t at, char byte) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(byte);
}

TEST(Cifar10, PlanesBecomePixelsAndFilesFollowEachOther) {
  const TemporaryFolder folder;
  const auto below = folder / "cifar-10-batches-bin";
  std::filesystem::create_directory(below);
  write_set(below);
  EXPECT_TRUE(holds_cifar10(folder.path()));
  EXPECT_TRUE(holds_cifar10(below));
  const auto data = open_data(folder.path().string());
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data.value().name, "cifar10");
  EXPECT_TRUE(data.value().flip);
  const Dataset& train = *data.value().train;
  EXPECT_EQ(train.size(), 50'000U);
  EXPECT_EQ(data.value().test->size(), 10'000U);
  EXPECT_EQ(train.image, (Shape{3, 32, 32}));
  for (const std::size_t i : {0, 9'999, 10'000, 49'999}) {
    EXPECT_EQ(train.labels[i], 3) << i;
    const std::uint8_t* pixels = &train.pixels[i * 3072];
    EXPECT_THAT(std::vector<int>(pixels, pixels + 6), testing::ElementsAre(11, 22, 33, 10, 20, 30));
  }
  EXPECT_EQ(train.labels[1], 0);
  EXPECT_EQ(train.pixels[3072], 0);
  EXPECT_NEAR(data.value().mean[1], 20.0 / 255 * 10 / 50'000, 1e-6);
}

TEST(Cifar10, WhatIsWrongIsOneLineThatNamesTheFileAndTheRemedy) {
  const TemporaryFolder folder;
  write_set(folder.path());
  const auto third = folder / "data_batch_3.bin";
  const auto error = [&](const std::function<void()>& damage, const std::function<void()>& repair) {
    damage();
    const auto data = open_data("cifar10:" + folder.path().string());
    repair();
    EXPECT_FALSE(data);
    if (data) return std::string();
    EXPECT_THAT(data.error().message,
                AllOf(HasSubstr(third.string()), HasSubstr("tools/fetch-data cifar10"),
                      testing::Not(HasSubstr("\n"))));
    return data.error().message;
  };
  const auto moved = folder / "moved";
  EXPECT_THAT(error([&] { std::filesystem::rename(third, moved); },
                    [&] { std::filesystem::rename(moved, third); }),
              HasSubstr("No such file"));
  EXPECT_THAT(error([&] { std::filesystem::resize_file(third, kWhole - kRecord); },
                    [&] { std::filesystem::resize_file(third, kWhole); }),
              HasSubstr("truncated, 30726927 of 30730000 bytes"));
  EXPECT_THAT(error([&] { std::filesystem::resize_file(third, kWhole + 1); },
                    [&] { std::filesystem::resize_file(third, kWhole); }),
              HasSubstr("trailing bytes after the 30730000"));
  EXPECT_THAT(error([&] { overwrite(third, 7 * kRecord, 10); }, [] {}),
              HasSubstr("label 10 at record 7, where 0 to 9 belong"));
}

}  // namespace
}  // namespace paceline
