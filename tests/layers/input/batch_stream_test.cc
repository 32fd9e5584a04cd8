#include "paceline/layers/input/batch_stream.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "layers/input/numbered_data.h"
#include "paceline/layers/input/synthetic.h"
#include "test_seed.h"

namespace paceline {
namespace {

// With an odd side above eight the middle pixel stays inside under every shift by four.
constexpr Shape kSmall{3, 9, 9};

/// The images of a batch, by the number that their third channel carries in the middle.
std::vector<int> images_in(const Batch& batch, const Shape& shape) {
  std::vector<int> images;
  const std::size_t middle = (shape.height / 2 * shape.width + shape.width / 2) * 3 + 2;
  for (std::size_t i = 0; i < batch.labels.size(); ++i) {
    images.push_back(static_cast<int>(std::lround(batch.images[i * shape.count() + middle])));
  }
  return images;
}

std::vector<int> draw(BatchStream& stream, std::size_t batches, const Shape& shape = kSmall) {
  std::vector<int> all;
  for (std::size_t i = 0; i < batches; ++i) {
    const std::vector<int> images = images_in(stream.next(), shape);
    all.insert(all.end(), images.begin(), images.end());
  }
  return all;
}

std::vector<float> copy(const Batch& batch) { return {batch.images.begin(), batch.images.end()}; }

TEST(BatchStream, EachEpochSeesEachImageOnceAcrossTheBordersOfBatches) {  // BS-2
  Rng rng(test_seed());
  for (int round = 0; round < 20; ++round) {
    const std::size_t images = 1 + rng.below(100), batch = 1 + rng.below(150);
    SCOPED_TRACE(fmt::format("{} images, batches of {}", images, batch));
    const Data data = numbered_data(images, kSmall);
    BatchStream stream(data, {.batch = batch, .image = kSmall, .seed = rng.next()});
    const std::vector<int> drawn = draw(stream, 4 * images / batch + 1);
    EXPECT_EQ(stream.images_drawn(), drawn.size());
    for (std::size_t epoch = 0; (epoch + 1) * images <= drawn.size(); ++epoch) {
      const auto start = drawn.begin() + static_cast<std::ptrdiff_t>(epoch * images);
      const std::set<int> seen(start, start + static_cast<std::ptrdiff_t>(images));
      EXPECT_EQ(seen.size(), images);
    }
  }
}

TEST(BatchStream, EpochsAndWorkersHaveOrdersOfTheirOwn) {
  const Data data = numbered_data(100, kSmall);
  BatchStream a(data, {.batch = 100, .image = kSmall, .worker = 0, .workers = 2});
  BatchStream b(data, {.batch = 100, .image = kSmall, .worker = 1, .workers = 2});
  const std::vector<int> first = draw(a, 1), second = draw(a, 1), other = draw(b, 1);
  EXPECT_NE(first, second);
  EXPECT_NE(first, other);
  EXPECT_FALSE(std::ranges::is_sorted(first));
}

TEST(BatchStream, ShardsAreDisjointAndCoverTheSet) {
  Rng rng(test_seed());
  for (int round = 0; round < 20; ++round) {
    const std::size_t images = 1 + rng.below(100);
    const auto workers = static_cast<std::uint32_t>(1 + rng.below(images));
    SCOPED_TRACE(fmt::format("{} images, {} workers", images, workers));
    const Data data = numbered_data(images, kSmall);
    std::map<int, int> seen;
    for (std::uint32_t worker = 0; worker < workers; ++worker) {
      BatchStream stream(data, {.batch = 1,
                                .image = kSmall,
                                .sampling = Sampling::sharded,
                                .worker = worker,
                                .workers = workers});
      EXPECT_NEAR(static_cast<double>(stream.images_per_epoch()),
                  static_cast<double>(images) / workers, 1);
      std::set<int> epochs[2];
      for (auto& epoch : epochs) {
        for (const int image : draw(stream, stream.images_per_epoch())) epoch.insert(image);
        EXPECT_EQ(epoch.size(), stream.images_per_epoch());
      }
      EXPECT_EQ(epochs[0], epochs[1]) << "a worker keeps its shard";
      for (const int image : epochs[0]) ++seen[image];
    }
    EXPECT_EQ(seen.size(), images);
    for (const auto& [image, times] : seen) EXPECT_EQ(times, 1) << image;
  }
}

TEST(BatchStream, MoreWorkersThanImagesShareThem) {
  const Data data = numbered_data(2, kSmall);
  BatchStream stream(
      data,
      {.batch = 3, .image = kSmall, .sampling = Sampling::sharded, .worker = 4, .workers = 5});
  EXPECT_EQ(stream.images_per_epoch(), 1U);
  EXPECT_EQ(stream.next().labels.size(), 3U);
}

TEST(BatchStream, TheSameOptionsGiveTheSameBits) {  // BS-1
  const Data data = make_synthetic({.train = 300, .test = 1});
  const StreamOptions options{.batch = 64, .image = {3, 28, 28}, .seed = 7};
  StreamOptions other_seed = options;
  other_seed.seed = 8;
  BatchStream a(data, options), b(data, options), c(data, other_seed);
  for (int i = 0; i < 10; ++i) {
    const std::vector<float> batch = copy(a.next());
    EXPECT_EQ(batch, copy(b.next()));
    EXPECT_NE(batch, copy(c.next()));
  }
}

TEST(BatchStream, ARestoredStreamGoesOnWithTheSameBits) {
  const Data data = make_synthetic({.train = 100, .test = 1});
  for (const Sampling sampling : {Sampling::shuffled, Sampling::sharded}) {
    const StreamOptions options{
        .batch = 30, .image = {3, 32, 32}, .sampling = sampling, .worker = 1, .workers = 2};
    BatchStream a(data, options), b(data, options);
    for (int i = 0; i < 13; ++i) a.next();
    b.restore(a.state());
    EXPECT_EQ(b.state(), a.state());
    EXPECT_EQ(b.images_drawn(), 13U * 30);
    for (int i = 0; i < 13; ++i) EXPECT_EQ(copy(a.next()), copy(b.next()));
  }
}

TEST(BatchStream, CropsOfLargerImagesReachEveryCornerAndStayInside) {
  const Data data = numbered_data(1, {3, 11, 13});
  BatchStream stream(data, {.batch = 400, .image = kSmall});
  const Batch& batch = stream.next();
  std::set<std::pair<long, long>> corners;
  int mirrored = 0;
  for (std::size_t i = 0; i < 400; ++i) {
    const float* image = &batch.images[i * kSmall.count()];
    const long top = std::lround(image[0]), left = std::lround(image[1]);
    const long right = std::lround(image[8 * 3 + 1]);
    EXPECT_EQ(std::abs(right - left), 8);
    mirrored += right < left ? 1 : 0;
    corners.emplace(top, std::min(left, right));
  }
  EXPECT_EQ(corners.size(), 3U * 5);  // the odds of 400 draws missing one are below 1e-10
  EXPECT_EQ(corners.rbegin()->first, 2);
  EXPECT_NEAR(mirrored, 200, 70);
}

TEST(BatchStream, ImagesOfTheNetworksSizeArePadded) {
  Data data = numbered_data(1, kSmall);
  data.flip = false;
  BatchStream stream(data, {.batch = 2000, .image = kSmall});
  const Batch& batch = stream.next();
  std::set<std::pair<long, long>> middles;
  for (std::size_t i = 0; i < 2000; ++i) {
    const float* middle = &batch.images[i * kSmall.count() + (4 * 9 + 4) * 3];
    middles.emplace(std::lround(middle[0]), std::lround(middle[1]));
  }
  EXPECT_EQ(middles.size(), 81U);  // every pixel comes to lie in the middle, and never padding
  EXPECT_EQ(*middles.begin(), std::make_pair(0L, 0L));
  EXPECT_EQ(*middles.rbegin(), std::make_pair(8L, 8L));

  data.padding = 0;
  BatchStream still(data, {.batch = 100, .image = kSmall});
  const Batch& whole = still.next();
  for (std::size_t i = 0; i < 100; ++i) EXPECT_NEAR(whole.images[i * kSmall.count()], 0, 1e-4);
  for (const int image : images_in(whole, kSmall)) EXPECT_EQ(image, 0);
}

TEST(BatchStream, WithoutAugmentationImagesAreCentredAndNeverMirrored) {
  const Data data = numbered_data(5, {3, 13, 11});
  BatchStream stream(data, {.batch = 20, .image = kSmall, .augment = false});
  const Batch& batch = stream.next();
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_NEAR(batch.images[i * kSmall.count()], 2, 1e-4);
    EXPECT_NEAR(batch.images[i * kSmall.count() + 1], 1, 1e-4);
  }
}

TEST(BatchStream, SetsThatDoNotKeepTheirLabelsAreNeverMirrored) {
  Data data = numbered_data(5, kSmall);
  data.flip = false;
  BatchStream stream(data, {.batch = 200, .image = {3, 6, 6}});
  const Batch& batch = stream.next();
  for (std::size_t i = 0; i < 200; ++i) {
    EXPECT_LT(batch.images[i * 108 + 1], batch.images[i * 108 + 4]);
  }
}

TEST(BatchStream, PixelsHaveMeanZeroAndDeviationOneAndLabelsTravelAlong) {
  const Data data = make_synthetic({.train = 500, .test = 1});
  BatchStream stream(data, {.batch = 500, .image = {3, 32, 32}, .augment = false});
  const Batch& batch = stream.next();
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t i = c; i < batch.images.size(); i += 3) {
      sum += batch.images[i];
      squares += double{batch.images[i]} * batch.images[i];
    }
    const double n = static_cast<double>(batch.images.size()) / 3;
    EXPECT_NEAR(sum / n, 0, 1e-4);
    EXPECT_NEAR(squares / n, 1, 1e-3);
  }
  const Data numbered = numbered_data(50, kSmall);
  BatchStream named(numbered, {.batch = 50, .image = kSmall, .augment = false});
  const Batch& drawn = named.next();
  const std::vector<int> images = images_in(drawn, kSmall);
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(drawn.labels[i], images[i] % 10);
}

TEST(TestStream, GoesThroughTheSetInOrderWithAPartialLastBatch) {
  const Data data = numbered_data(23, kSmall);
  const Shape crop{3, 6, 6};
  TestStream stream(data, *data.test, crop, 10);
  for (int round = 0; round < 2; ++round) {
    std::vector<int> images;
    std::vector<std::size_t> sizes;
    for (const Batch* batch = &stream.next(); !batch->labels.empty(); batch = &stream.next()) {
      sizes.push_back(batch->labels.size());
      EXPECT_EQ(batch->images.size(), batch->labels.size() * crop.count());
      EXPECT_NEAR(batch->images[0], 1, 1e-4);
      for (const int image : images_in(*batch, crop)) images.push_back(image);
    }
    EXPECT_THAT(sizes, testing::ElementsAre(10, 10, 3));
    EXPECT_EQ(images.size(), 23U);
    EXPECT_TRUE(std::ranges::is_sorted(images));
    EXPECT_TRUE(stream.next().images.empty());
    stream.rewind();
  }
}

}  // namespace
}  // namespace paceline
