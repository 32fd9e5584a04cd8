#include "paceline/layers/input/resampler_internal.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "paceline/compute/random.h"
#include "paceline/result.h"
#include "test_seed.h"

namespace paceline {
namespace {

constexpr std::array<float, 3> kOne = {1, 1, 1}, kNothing = {0, 0, 0};

DecodedImage noise(std::size_t width, std::size_t height, Rng& rng) {
  DecodedImage image;
  image.reshape({width, height});
  for (std::uint8_t& byte : image.bytes) byte = static_cast<std::uint8_t>(rng.below(256));
  return image;
}

/// The definition, in two dimensions and double precision: each pixel of the image weighs as a tent
/// over the output's place in it says, which is as wide as an output, one pixel at least.
double defined(const DecodedImage& image, const ImageBox& box, Shape to, std::size_t x,
               std::size_t y, std::size_t c) {
  const double across = box.width / static_cast<double>(to.width);
  const double down = box.height / static_cast<double>(to.height);
  const auto tent = [](double distance, double reach) {
    return std::max(0.0, 1 - std::abs(distance) / std::max(reach, 1.0));
  };
  double sum = 0, weights = 0;
  for (std::size_t row = 0; row < image.size.height; ++row) {
    for (std::size_t column = 0; column < image.size.width; ++column) {
      const double w =
          tent(static_cast<double>(column) + 0.5 - box.left -
                   (static_cast<double>(x) + 0.5) * across,
               across) *
          tent(static_cast<double>(row) + 0.5 - box.top - (static_cast<double>(y) + 0.5) * down,
               down);
      sum += w * image.row(row)[3 * column + c];
      weights += w;
    }
  }
  return sum / weights;
}

TEST(Resampler, EveryPixelIsWhatTheDefinitionSays) {
  Rng rng(test_seed());
  for (int round = 0; round < 60; ++round) {
    const DecodedImage image = noise(1 + rng.below(40), 1 + rng.below(40), rng);
    const Shape to{3, 1 + rng.below(20), 1 + rng.below(20)};
    const auto part = [&](std::size_t whole, double& start, double& length) {
      start = rng.uniform() * 0.9 * static_cast<double>(whole);
      length = (static_cast<double>(whole) - start) * (0.1 + 0.9 * rng.uniform());
    };
    ImageBox box;
    part(image.size.width, box.left, box.width);
    part(image.size.height, box.top, box.height);
    const bool mirrored = rng.below(2) == 1;
    SCOPED_TRACE(
        fmt::format("{}x{} to {}x{}", image.size.width, image.size.height, to.width, to.height));
    const std::array<float, 3> scale = {1, 2, 0.5F}, shift = {0, 10, -1};
    std::vector<float> out(to.count());
    Resampler(to, scale, shift).resample(image, box, mirrored, out.data());
    for (std::size_t y = 0; y < to.height; ++y) {
      for (std::size_t x = 0; x < to.width; ++x) {
        for (std::size_t c = 0; c < 3; ++c) {
          const std::size_t from = mirrored ? to.width - 1 - x : x;
          ASSERT_NEAR(out[(y * to.width + x) * 3 + c],
                      defined(image, box, to, from, y, c) * scale[c] + shift[c], 2e-3);
        }
      }
    }
  }
}

TEST(Resampler, OneToOneCopies) {
  Rng rng(1);
  const DecodedImage image = noise(9, 7, rng);
  std::vector<float> out(9 * 7 * 3);
  Resampler({3, 7, 9}, kOne, kNothing).resample(image, {0, 0, 9, 7}, false, out.data());
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], image.bytes[i]);
}

TEST(Resampler, IsWithinALevelOfPil) {
  // PIL 9.4: image.resize(size, Image.BILINEAR, box)
  DecodedImage image;
  image.reshape({13, 11});
  for (std::size_t y = 0; y < 11; ++y) {
    for (std::size_t x = 0; x < 13; ++x) {
      for (std::size_t c = 0; c < 3; ++c) {
        image.row(y)[3 * x + c] = static_cast<std::uint8_t>(x * x * 7 + y * 31 + c * 50 + x * y);
      }
    }
  }
  struct Case {
    Shape to;
    ImageBox box;
    std::vector<int> wanted;
  };
  const std::vector<Case> cases = {
      {{3, 4, 5}, {0, 0, 13, 11}, {51,  101, 149, 123, 141, 153, 141, 117, 120, 130, 132, 124,
                                   124, 129, 127, 130, 174, 156, 157, 137, 99,  131, 134, 137,
                                   134, 124, 124, 144, 148, 108, 159, 124, 84,  105, 112, 131,
                                   147, 116, 124, 135, 116, 123, 126, 126, 121, 76,  91,  141,
                                   125, 128, 145, 134, 109, 122, 127, 134, 107, 135, 151, 104}},
      {{3, 5, 4}, {3, 2, 6, 8}, {152, 172, 126, 163, 91,  97,  119, 151, 126, 104, 136, 101,
                                 194, 148, 61,  116, 97,  142, 148, 150, 152, 136, 118, 138,
                                 109, 78,  108, 107, 139, 170, 141, 116, 100, 117, 143, 128,
                                 67,  112, 162, 152, 145, 115, 159, 96,  130, 160, 94,  118,
                                 119, 159, 164, 174, 89,  95,  113, 128, 133, 135, 123, 111}},
      {{3, 3, 6},
       {4, 5, 3, 1.5},
       {121, 75, 109, 87, 89,  139, 89,  123, 173, 111, 161, 163, 152, 202, 108, 148, 182, 88,
        75,  77, 127, 57, 107, 157, 91,  141, 191, 129, 163, 165, 170, 172, 78,  150, 152, 58,
        60,  94, 144, 74, 124, 174, 109, 159, 209, 147, 149, 183, 188, 94,  96,  169, 75,  77}},
  };
  for (const Case& one : cases) {
    std::vector<float> out(one.to.count());
    Resampler(one.to, kOne, kNothing).resample(image, one.box, false, out.data());
    for (std::size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], one.wanted[i], 1) << i;
  }
}

}  // namespace
}  // namespace paceline
