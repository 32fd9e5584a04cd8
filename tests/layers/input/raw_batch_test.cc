// Raw batches: what a device that cuts images by itself makes of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "layers/input/numbered_data.h"
#include "layers/input/thread_allocations.h"
#include "paceline/compute/cut_images_internal.h"
#include "paceline/layers/input/batch_stream.h"
#include "test_seed.h"

namespace paceline {
namespace {

/// Random pixels, statistics, padding.
Data random_data(Rng& rng, Shape image, std::size_t images) {
  auto set = std::make_shared<Dataset>();
  set->image = image;
  set->classes = 10;
  set->pixels.resize(images * image.count());
  for (std::uint8_t& pixel : set->pixels) pixel = static_cast<std::uint8_t>(rng.below(256));
  for (std::size_t i = 0; i < images; ++i)
    set->labels.push_back(static_cast<std::uint16_t>(rng.below(10)));
  Data data;
  data.name = "random";
  data.train = data.test = set;
  for (std::size_t c = 0; c < image.channels; ++c) {
    data.mean.push_back(static_cast<float>(rng.uniform()));
    data.deviation.push_back(static_cast<float>(0.05 + rng.uniform()));
  }
  data.flip = rng.below(2) == 1;
  data.padding = rng.below(6);
  return data;
}

std::vector<std::uint32_t> bits(std::span<const float> values) {
  std::vector<std::uint32_t> all;
  for (const float value : values) all.push_back(std::bit_cast<std::uint32_t>(value));
  return all;
}

TEST(RawBatch, CutByTheRuleIsTheStreamsOtherBatchBitForBit) {  // BS-5
  Rng rng(test_seed());
  bool outside = false, flipped = false;
  for (int round = 0; round < 60; ++round) {
    const Shape stored{rng.below(2) == 0 ? 1U : 3U, 5 + rng.below(12), 5 + rng.below(12)};
    // Of the images' own size every other time: those are padded.
    const bool whole = rng.below(2) == 0;
    const Shape wanted{stored.channels, whole ? stored.height : 1 + rng.below(stored.height),
                       whole ? stored.width : 1 + rng.below(stored.width)};
    const Data data = random_data(rng, stored, 1 + rng.below(40));
    StreamOptions options{.batch = 1 + rng.below(30),
                          .image = wanted,
                          .sampling = rng.below(2) == 0 ? Sampling::shuffled : Sampling::sharded,
                          .seed = rng.next(),
                          .workers = 2,
                          .augment = rng.below(4) > 0};
    SCOPED_TRACE(fmt::format("{}x{} out of {}x{}x{}, batches of {}", wanted.height, wanted.width,
                             stored.channels, stored.height, stored.width, options.batch));
    BatchStream plain(data, options);
    options.raw = true;
    BatchStream raw(data, options);
    std::vector<float> cut(options.batch * wanted.count());
    for (int k = 0; k < 4; ++k) {
      const Batch& a = plain.next();
      const Batch& b = raw.next();
      ASSERT_EQ(a.raw, nullptr);
      ASSERT_NE(b.raw, nullptr);
      EXPECT_TRUE(b.images.empty());
      std::ranges::fill(cut, -1.0F);
      cut_images(*b.raw, wanted, cut);
      EXPECT_EQ(bits(cut), bits(a.images));
      EXPECT_TRUE(std::ranges::equal(a.labels, b.labels));
      EXPECT_EQ(plain.state(), raw.state());
      for (const Cut& c : b.raw->cuts) {
        outside = outside || c.top < 0 || c.left < 0;
        flipped = flipped || c.flip != 0;
      }
    }
  }
  EXPECT_TRUE(outside) << "no window lay outside its image";
  EXPECT_TRUE(flipped);
}

TEST(RawBatch, ItsImagesAreTheSetsBytes) {
  const Data data = numbered_data(50, {3, 9, 11});
  BatchStream stream(data, {.batch = 8, .image = {3, 9, 9}, .raw = true});
  const RawBatch& raw = *stream.next().raw;
  EXPECT_EQ(raw.stored.height, 9U);
  EXPECT_EQ(raw.stored.width, 11U);
  const std::size_t bytes = raw.stored.count();
  ASSERT_EQ(raw.images.size(), 8 * bytes);
  for (std::size_t i = 0; i < 8; ++i) {
    const std::uint8_t number = raw.images[i * bytes + 2];
    EXPECT_TRUE(std::ranges::equal(raw.images.subspan(i * bytes, bytes),
                                   std::span(data.train->pixels).subspan(number * bytes, bytes)));
  }
}

TEST(RawBatch, ARestoredStreamGoesOnWithTheSameBytesAndCuts) {
  const Data data = numbered_data(50, {3, 9, 9});
  const StreamOptions options{.batch = 8, .image = {3, 9, 9}, .raw = true};
  BatchStream a(data, options), b(data, options);
  for (int i = 0; i < 13; ++i) a.next();
  b.restore(a.state());
  for (int i = 0; i < 13; ++i) {
    const RawBatch &x = *a.next().raw, &y = *b.next().raw;
    EXPECT_TRUE(std::ranges::equal(x.images, y.images));
    EXPECT_TRUE(std::ranges::equal(x.cuts, y.cuts));
  }
}

TEST(RawBatch, NextAllocatesNothing) {  // BS-3
  const Data data = numbered_data(20, {3, 9, 9});
  BatchStream stream(data, {.batch = 8, .image = {3, 9, 9}, .raw = true});
  const std::size_t before = thread_allocations();
  for (int k = 0; k < 10; ++k) stream.next();
  EXPECT_EQ(thread_allocations(), before);
}

TEST(RawTestStream, CutGivesTheOtherStreamsBitsToThePartialLastBatch) {  // BS-5
  const Data data = numbered_data(23, {3, 9, 9});
  const Shape crop{3, 6, 6};
  TestStream cut(data, *data.test, crop, 10), raw(data, *data.test, crop, 10, 1, true);
  for (int round = 0; round < 2; ++round) {
    std::size_t images = 0;
    for (;;) {
      const Batch &expected = cut.next(), &bytes = raw.next();
      ASSERT_TRUE(std::ranges::equal(bytes.labels, expected.labels));
      if (expected.labels.empty()) break;
      ASSERT_NE(bytes.raw, nullptr);
      EXPECT_TRUE(bytes.images.empty());
      std::vector<float> got(expected.images.size(), NAN);
      cut_images(*bytes.raw, crop, got);
      ASSERT_TRUE(std::ranges::equal(got, expected.images));
      images += bytes.labels.size();
    }
    EXPECT_EQ(images, 23U);
    cut.rewind();
    raw.rewind();
  }
}

}  // namespace
}  // namespace paceline
