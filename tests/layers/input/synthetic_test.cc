#include "paceline/layers/input/synthetic.h"

#include <gtest/gtest.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

namespace paceline {
namespace {

std::uint64_t hash(const std::uint8_t* pixels, std::size_t count) {
  return XXH3_64bits(pixels, count);
}

TEST(Synthetic, TheFirstImagesAreTheSameBitsOnEveryMachine) {  // SY-2
  const Data data = make_synthetic({.seed = 1, .train = 100, .test = 100});
  EXPECT_EQ(hash(data.train->pixels.data(), data.train->pixels.size()), 12345630579799667842ULL);
  EXPECT_EQ(hash(data.test->pixels.data(), data.test->pixels.size()), 16438930085811873285ULL);
}

TEST(Synthetic, ALargerSetBeginsWithTheSmallerOnesImages) {  // SY-1
  const Data small = make_synthetic({.seed = 9, .train = 20, .test = 10});
  const Data large = make_synthetic({.seed = 9, .train = 50, .test = 30});
  EXPECT_TRUE(std::equal(small.train->pixels.begin(), small.train->pixels.end(),
                         large.train->pixels.begin()));
  EXPECT_TRUE(
      std::equal(small.test->pixels.begin(), small.test->pixels.end(), large.test->pixels.begin()));
}

TEST(Synthetic, SeedsGiveSetsOfTheirOwn) {
  EXPECT_NE(make_synthetic({.seed = 1, .train = 10, .test = 1}).train->pixels,
            make_synthetic({.seed = 2, .train = 10, .test = 1}).train->pixels);
}

TEST(Synthetic, NoImageComesTwiceInTrainingAndTest) {
  const Data data = make_synthetic({.seed = 3, .train = 2000, .test = 1000});
  std::set<std::uint64_t> seen;
  for (const auto& set : {data.train, data.test}) {
    for (std::size_t i = 0; i < set->size(); ++i) {
      EXPECT_TRUE(seen.insert(hash(&set->pixels[i * 3072], 3072)).second) << i;
    }
  }
}

TEST(Synthetic, ClassesAreBalanced) {
  const Data data = make_synthetic({.seed = 4, .train = 1003, .test = 10});
  std::array<int, 10> count{};
  for (const std::uint8_t label : data.train->labels) ++count.at(label);
  for (const int n : count) EXPECT_TRUE(n == 100 || n == 101) << n;
  EXPECT_EQ(data.train->classes, 10U);
}

TEST(Synthetic, ColoursDoNotTellTheClass) {
  // The mean colour of a class's images lies within six deviations of the set's mean.
  const Data data = make_synthetic({.seed = 5, .train = 5000, .test = 1});
  std::array<double, 10> sum{}, squares{};
  for (std::size_t i = 0; i < 5000; ++i) {
    double mean = 0;
    for (std::size_t p = 0; p < 3072; ++p) mean += data.train->pixels[i * 3072 + p];
    mean /= 3072;
    sum[i % 10] += mean / 500;
    squares[i % 10] += mean * mean / 500;
  }
  double all = 0;
  for (const double s : sum) all += s / 10;
  for (std::size_t c = 0; c < 10; ++c) {
    EXPECT_NEAR(sum[c], all, 6 * std::sqrt((squares[c] - sum[c] * sum[c]) / 500)) << c;
  }
}

}  // namespace
}  // namespace paceline
