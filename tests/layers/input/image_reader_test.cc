#include "paceline/layers/input/image_reader_internal.h"

#include <gmock/gmock.h>

#include <cmath>

#include "layers/input/image_encoder.h"
#include "temporary_folder.h"
#include "test_seed.h"

namespace paceline {
namespace {

TEST(RandomBox, LiesInTheImageAndKeepsToTheAreaAndTheRatio) {
  Rng rng(test_seed());
  double least = 1, most = 0;
  for (int round = 0; round < 20000; ++round) {
    const ImageSize image{100 + rng.below(400), 100 + rng.below(400)};
    const ImageBox box = random_box(image, rng);
    const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
    ASSERT_GE(box.left, 0);
    ASSERT_GE(box.top, 0);
    ASSERT_LE(box.left + box.width, width);
    ASSERT_LE(box.top + box.height, height);
    const double share = box.width * box.height / (width * height);
    ASSERT_LE(std::abs(std::log(box.width / box.height)), std::log(4.0 / 3) + 0.05);
    least = std::min(least, share);
    most = std::max(most, share);
  }
  EXPECT_NEAR(least, 0.08, 0.02);
  EXPECT_GT(most, 0.9);
}

TEST(RandomBox, OddImagesGiveTheirMiddle) {
  Rng rng(1);
  for (const ImageSize image : {ImageSize{1, 1}, {1000, 1}, {1, 1000}, {2, 1}}) {
    for (int round = 0; round < 50; ++round) {
      const ImageBox box = random_box(image, rng);
      EXPECT_GE(box.width, 1);
      EXPECT_GE(box.height, 1);
      EXPECT_LE(box.left + box.width, static_cast<double>(image.width));
      EXPECT_LE(box.top + box.height, static_cast<double>(image.height));
    }
  }
}

TEST(CentreBox, IsTorchvisionsResizeAndCentreCrop) {
  // Resize(256) makes 341x256 of 500x375, CenterCrop(224) starts at (58, 16).
  const ImageBox wide = centre_box({500, 375}, {224, 224});
  EXPECT_DOUBLE_EQ(wide.left, 58 * 500.0 / 341);
  EXPECT_DOUBLE_EQ(wide.top, 16 * 375.0 / 256);
  EXPECT_DOUBLE_EQ(wide.width, 224 * 500.0 / 341);
  EXPECT_DOUBLE_EQ(wide.height, 224 * 375.0 / 256);
  // Resize(36) of a square, CenterCrop(32) starts at (2, 2).
  const ImageBox square = centre_box({72, 72}, {32, 32});
  EXPECT_DOUBLE_EQ(square.left, 4);
  EXPECT_DOUBLE_EQ(square.width, 64);
  for (const ImageSize image : {ImageSize{1, 1}, {1, 999}, {7, 3}}) {
    const ImageBox box = centre_box(image, {224, 224});
    EXPECT_GE(box.left, 0);
    EXPECT_LE(box.left + box.width, static_cast<double>(image.width) + 1e-9);
    EXPECT_LE(box.top + box.height, static_cast<double>(image.height) + 1e-9);
  }
}

TEST(Reduction, LeavesAtLeastWhatTheNetworkReads) {
  EXPECT_EQ(reduction_for({0, 0, 223, 500}, {224, 224}), 1U);
  EXPECT_EQ(reduction_for({0, 0, 447, 448}, {224, 224}), 1U);
  EXPECT_EQ(reduction_for({0, 0, 448, 448}, {224, 224}), 2U);
  EXPECT_EQ(reduction_for({0, 0, 4000, 1000}, {224, 224}), 4U);
  EXPECT_EQ(reduction_for({0, 0, 4000, 4000}, {224, 224}), 8U);
}

/// A set of one file.
struct OneFile {
  explicit OneFile(const Bytes& bytes) {
    write_bytes(folder / "file", bytes);
    auto files = std::make_shared<ImageFiles>(folder.path());
    files->add("file");
    set.image = {3, 8, 8};
    set.files = files;
    set.labels = {0};
    data.mean = {0, 0, 0};
    data.deviation = {1 / 255.0F, 1 / 255.0F, 1 / 255.0F};  // an output is its byte
  }
  std::vector<float> read(ImageReader::Crop crop, std::uint64_t stream = 1) {
    std::vector<float> out(set.image.count());
    ImageReader reader(data, set, set.image, crop);
    const auto done = reader.read(0, Rng(stream), out.data());
    EXPECT_TRUE(done) << done.error().message;
    return out;
  }
  TemporaryFolder folder;
  Dataset set;
  Data data;
};

TEST(ImageReader, AReducedJpegIsCutWhereTheWholeOneWouldBe) {
  // Brighter from left to right and from top to bottom: 0 to 200 and 0 to 50.
  const std::size_t side = 160;
  Bytes samples;
  for (std::size_t y = 0; y < side; ++y) {
    for (std::size_t x = 0; x < side; ++x) {
      samples.insert(samples.end(), 3, static_cast<std::uint8_t>(200 * x / side + 50 * y / side));
    }
  }
  OneFile jpeg(encode_jpeg(side, side, samples));
  OneFile png(encode_png(side, side, std::vector<std::uint16_t>(samples.begin(), samples.end())));
  using Crop = ImageReader::Crop;
  for (std::uint64_t stream = 0; stream < 20; ++stream) {
    const Crop crop = stream == 0 ? Crop::centre : Crop::random_mirrored;
    const std::vector<float> reduced = jpeg.read(crop, stream), whole = png.read(crop, stream);
    for (std::size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(reduced[i], whole[i], 3);
  }
}

TEST(ImageReader, MirrorsHalfTheImagesAndChangesNothingElse) {
  std::vector<std::uint16_t> samples;
  for (std::size_t i = 0; i < 40 * 40; ++i) {
    samples.insert(samples.end(), 3, static_cast<std::uint16_t>(5 * (i % 40)));
  }
  OneFile file(encode_png(40, 40, samples));
  int mirrored = 0;
  for (std::uint64_t stream = 0; stream < 200; ++stream) {
    const std::vector<float> plain = file.read(ImageReader::Crop::random, stream);
    std::vector<float> other = file.read(ImageReader::Crop::random_mirrored, stream);
    if (other == plain) continue;
    ++mirrored;
    for (std::size_t y = 0; y < 8; ++y) {
      for (std::size_t x = 0; x < 8; ++x) {
        ASSERT_EQ(other[(y * 8 + x) * 3], plain[(y * 8 + 7 - x) * 3]);
      }
    }
  }
  EXPECT_NEAR(mirrored, 100, 50);
}

}  // namespace
}  // namespace paceline
