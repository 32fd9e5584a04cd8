// Batches out of image files: BatchStream and TestStream over a folder.
#include <gmock/gmock.h>

#include <cmath>
#include <set>
#include <thread>

#include "layers/input/image_encoder.h"
#include "layers/input/thread_allocations.h"
#include "paceline/layers/input/batch_stream.h"
#include "temporary_folder.h"
#include "test_seed.h"

namespace paceline {
namespace {

using testing::HasSubstr;

constexpr Shape kImage{3, 16, 16};

/// A folder of small images of noise: no two crops are the same.
class Folder {
 public:
  Folder(std::size_t classes, std::size_t train_images, std::size_t test_images) {
    Rng rng(5);
    for (std::size_t c = 0; c < classes; ++c) {
      for (const auto& [part, images] : {std::pair("train", train_images), {"val", test_images}}) {
        for (std::size_t i = 0; i < images; ++i) {
          const std::size_t width = 20 + rng.below(30), height = 20 + rng.below(30);
          Bytes samples(width * height * 3);
          for (std::uint8_t& sample : samples) sample = static_cast<std::uint8_t>(rng.below(256));
          write_file(file(part, c, i), encode_jpeg(width, height, samples, {.quality = 60}));
        }
      }
    }
  }
  std::filesystem::path file(const std::string& part, std::size_t c, std::size_t i) const {
    return folder_ / part / std::to_string(c) / fmt::format("{:03}.jpg", i);
  }
  void damage(const std::string& part, std::size_t c, std::size_t i) const {
    const std::vector<std::uint8_t> whole = read_bytes(file(part, c, i));
    write_bytes(file(part, c, i), std::span(whole).first(whole.size() / 2));
  }
  Data open() const {
    auto data = open_data(folder_.path().string(), {.image_size = 16});
    EXPECT_TRUE(data) << data.error().message;
    return data.value();
  }
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  const TemporaryFolder folder_;
};

struct Copy {
  std::vector<float> images;
  std::vector<std::int32_t> labels;
  explicit Copy(const Batch& batch)
      : images(batch.images.begin(), batch.images.end()),
        labels(batch.labels.begin(), batch.labels.end()) {}
  bool operator==(const Copy&) const = default;
};

std::vector<Copy> draw(BatchStream& stream, int batches) {
  std::vector<Copy> all;
  for (int i = 0; i < batches; ++i) all.emplace_back(stream.next());
  return all;
}

TEST(ImageStream, TheNumberOfThreadsChangesNoBit) {  // BS-1, RA-1
  const Folder folder(3, 11, 1);
  folder.damage("train", 1, 4);
  const Data data = folder.open();
  StreamOptions options{.batch = 7, .image = kImage, .seed = 3, .worker = 1, .workers = 2};
  std::vector<Copy> first;
  for (const unsigned threads : {1U, 2U, 5U, 16U}) {
    options.decode_threads = threads;
    BatchStream stream(data, options);
    const std::vector<Copy> batches = draw(stream, 20);
    if (first.empty()) first = batches;
    EXPECT_TRUE(batches == first) << threads << " threads";
  }
  options.seed = 4;
  BatchStream other(data, options);
  EXPECT_FALSE(draw(other, 20) == first);
}

TEST(ImageStream, EpochsShowTheSameImagesInOtherCrops) {  // BS-2
  const Folder folder(2, 6, 1);
  const Data data = folder.open();
  BatchStream plain(data, {.batch = 12, .image = kImage, .augment = false, .decode_threads = 3});
  BatchStream varied(data, {.batch = 12, .image = kImage, .decode_threads = 3});
  std::set<std::vector<float>> seen, crops;
  for (int epoch = 0; epoch < 4; ++epoch) {
    for (auto [stream, images] : {std::pair(&plain, &seen), {&varied, &crops}}) {
      const Batch& batch = stream->next();
      for (std::size_t i = 0; i < 12; ++i) {
        const auto image = batch.images.subspan(i * kImage.count(), kImage.count());
        images->emplace(image.begin(), image.end());
      }
    }
  }
  EXPECT_EQ(seen.size(), 12U);
  EXPECT_EQ(crops.size(), 48U);
  EXPECT_EQ(plain.images_drawn(), 48U);
}

TEST(ImageStream, ARestoredStreamGoesOnWithTheSameBits) {
  const Folder folder(2, 9, 1);
  const Data data = folder.open();
  const StreamOptions options{.batch = 5, .image = kImage, .decode_threads = 2};
  for (const int before : {0, 1, 18, 25}) {
    BatchStream a(data, options), b(data, options);
    draw(a, before);
    b.restore(a.state());
    EXPECT_EQ(b.state(), a.state());
    EXPECT_EQ(b.images_drawn(), static_cast<std::uint64_t>(5 * before));
    EXPECT_TRUE(draw(a, 6) == draw(b, 6)) << before;
    a.restore(b.state());  // with batches ahead
    EXPECT_TRUE(draw(a, 3) == draw(b, 3)) << before;
  }
}

TEST(ImageStream, FilesAreNeverGivenRaw) {
  const Folder folder(2, 6, 1);
  const Data data = folder.open();
  const StreamOptions options{.batch = 12, .image = kImage};
  StreamOptions asked = options;
  asked.raw = true;
  BatchStream plain(data, options), raw(data, asked);
  EXPECT_TRUE(draw(raw, 2) == draw(plain, 2));
  EXPECT_EQ(raw.next().raw, nullptr);
}

TEST(ImageStream, PixelsAreNormalisedByImagenetsStatistics) {
  const TemporaryFolder folder;
  for (const char* c : {"a", "b"}) {
    write_file(folder / "train" / c / "1.jpg", plain_jpeg(30, 20, 200, 100, 50));
    write_file(folder / "val" / c / "1.jpg", plain_jpeg(30, 20, 200, 100, 50));
  }
  const Data data = open_data(folder.path().string(), {.image_size = 16}).value();
  BatchStream stream(data, {.batch = 2, .image = kImage});
  for (const Batch& batch = stream.next(); const std::size_t pixel : {0U, 100U, 511U}) {
    EXPECT_NEAR(batch.images[3 * pixel], (200 / 255.0 - 0.485) / 0.229, 0.05);
    EXPECT_NEAR(batch.images[3 * pixel + 1], (100 / 255.0 - 0.456) / 0.224, 0.05);
    EXPECT_NEAR(batch.images[3 * pixel + 2], (50 / 255.0 - 0.406) / 0.225, 0.05);
  }
}

TEST(ImageStream, FilesThatCannotBeReadAreReplacedCountedAndNamed) {
  const Folder folder(2, 10, 2);
  const Data data = folder.open();
  folder.damage("train", 0, 3);
  folder.damage("train", 1, 7);
  BatchStream stream(data, {.batch = 20, .image = kImage, .augment = false, .decode_threads = 2});
  for (int epoch = 0; epoch < 3; ++epoch) {
    const Batch& batch = stream.next();
    std::set<std::vector<float>> images;
    for (std::size_t i = 0; i < 20; ++i) {
      const auto image = batch.images.subspan(i * kImage.count(), kImage.count());
      images.emplace(image.begin(), image.end());
    }
    EXPECT_EQ(images.size(), 18U) << "two of them twice";
  }
  const Reading read = data.reading();
  EXPECT_THAT(read.skipped, testing::ElementsAre(testing::Key("train/0/003.jpg"),
                                                 testing::Key("train/1/007.jpg")));
  EXPECT_THAT(read.skipped.at("train/0/003.jpg"), HasSubstr("remature end"));
  EXPECT_GT(read.decode_cpu_seconds, 0);
  EXPECT_GE(read.images, 60U);
  EXPECT_TRUE(data.usable());
}

TEST(ImageStream, AFolderThatGoesAwayIsAnErrorAndNoHang) {
  const Folder folder(2, 10, 1);
  const Data data = folder.open();
  std::filesystem::remove_all(folder.path() / "train");
  BatchStream stream(data, {.batch = 8, .image = kImage, .decode_threads = 2});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(stream.next().labels.size(), 8U);
  ASSERT_FALSE(data.usable());
  EXPECT_THAT(data.usable().error().message, HasSubstr("of 20 images cannot be read"));
}

TEST(ImageStream, StopsInAnyState) {  // RA-4
  const Folder folder(2, 10, 1);
  const Data data = folder.open();
  Rng rng(test_seed());
  for (int round = 0; round < 60; ++round) {
    const auto threads = static_cast<unsigned>(1 + rng.below(4));
    const std::size_t batch = 1 + rng.below(20);
    BatchStream stream(data, {.batch = batch, .image = kImage, .decode_threads = threads});
    for (std::uint64_t i = rng.below(4); i > 0; --i) stream.next();
    if (rng.below(3) == 0) {  // long enough for the queue to be full
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
}

TEST(ImageStream, ReadsNoFurtherAheadThanItsQueue) {  // RA-2
  const Folder folder(2, 10, 1);
  const Data data = folder.open();
  const std::uint64_t opened = data.reading().images;
  BatchStream stream(data, {.batch = 4, .image = kImage, .decode_threads = 3});
  stream.next();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const std::uint64_t images = data.reading().images - opened;
  EXPECT_LE(images, 3U * 4);
  EXPECT_GE(images, 4U);
}

TEST(ImageStream, NextAllocatesNothing) {  // BS-3, RA-3
  const Folder folder(2, 10, 1);
  const Data data = folder.open();
  BatchStream stream(data, {.batch = 8, .image = kImage, .decode_threads = 2});
  stream.next();
  const std::size_t before = thread_allocations();
  ASSERT_GT(before, 0U) << "what is counted";
  for (int i = 0; i < 20; ++i) stream.next();
  EXPECT_EQ(thread_allocations(), before);
}

TEST(ImageTestStream, GoesThroughTheSetInOrderAndLeavesOutWhatCannotBeRead) {
  const Folder folder(3, 2, 7);
  const Data data = folder.open();
  folder.damage("val", 0, 2);
  for (std::size_t i = 0; i < 6; ++i) folder.damage("val", 2, i);
  for (const unsigned threads : {1U, 4U}) {
    TestStream stream(data, *data.test, kImage, 4, threads);
    for (int round = 0; round < 3; ++round) {
      std::vector<std::int32_t> labels;
      for (const Batch* batch = &stream.next(); !batch->labels.empty(); batch = &stream.next()) {
        EXPECT_EQ(batch->images.size(), batch->labels.size() * kImage.count());
        labels.insert(labels.end(), batch->labels.begin(), batch->labels.end());
      }
      EXPECT_THAT(labels, testing::ElementsAre(0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2));
      EXPECT_TRUE(stream.next().labels.empty()) << "the end stays";
      stream.rewind();
      if (round == 1) {  // also from the middle
        const Copy start(stream.next());
        stream.next();
        stream.rewind();
        EXPECT_TRUE(Copy(stream.next()) == start);
        stream.rewind();
      }
    }
  }
  EXPECT_EQ(data.reading().skipped.size(), 7U);
  EXPECT_TRUE(data.usable());
}

}  // namespace
}  // namespace paceline
