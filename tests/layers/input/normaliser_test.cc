#include "paceline/layers/input/normaliser.h"

#include <gtest/gtest.h>

#include "layers/input/numbered_data.h"
#include "paceline/compute/random.h"
#include "test_seed.h"

namespace paceline {
namespace {

TEST(Normaliser, EveryWindowEqualsPixelByPixelArithmetic) {
  Rng rng(test_seed());
  for (int round = 0; round < 300; ++round) {
    const Shape from{3, 1 + rng.below(9), 1 + rng.below(9)},
        to{3, 1 + rng.below(9), 1 + rng.below(9)};
    Data data = numbered_data(1, from);
    Dataset noisy = *data.train;
    for (auto& pixel : noisy.pixels) pixel = static_cast<std::uint8_t>(rng.below(256));
    data.mean = {0.25F, 0.5F, 0.75F};
    data.deviation = {0.5F, 0.25F, 0.125F};
    Normaliser normaliser(data, from, to);
    const Window window{.top = static_cast<std::ptrdiff_t>(rng.below(25)) - 12,
                        .left = static_cast<std::ptrdiff_t>(rng.below(25)) - 12,
                        .mirrored = rng.below(2) == 1};
    std::vector<float> out(to.count(), 99.0F);
    normaliser.cut(noisy.pixels.data(), window, out.data());
    for (std::size_t y = 0; y < to.height; ++y) {
      for (std::size_t x = 0; x < to.width; ++x) {
        const std::size_t seen = window.mirrored ? to.width - 1 - x : x;
        const auto row = window.top + static_cast<std::ptrdiff_t>(y);
        const auto column = window.left + static_cast<std::ptrdiff_t>(seen);
        const bool inside = row >= 0 && row < static_cast<std::ptrdiff_t>(from.height) &&
                            column >= 0 && column < static_cast<std::ptrdiff_t>(from.width);
        for (std::size_t c = 0; c < 3; ++c) {
          const float got = out[(y * to.width + x) * 3 + c];
          if (!inside) {
            ASSERT_EQ(got, 0.0F);
            continue;
          }
          const auto at =
              static_cast<std::size_t>(row) * from.width + static_cast<std::size_t>(column);
          ASSERT_NEAR(got, (noisy.pixels[at * 3 + c] / 255.0 - data.mean[c]) / data.deviation[c],
                      1e-5);
        }
      }
    }
  }
}

TEST(Normaliser, TheCentreIsInTheMiddle) {
  const Data data = numbered_data(1, {3, 32, 32});
  const Window window = Normaliser(data, {3, 32, 32}, {3, 28, 28}).centre();
  EXPECT_EQ(window.top, 2);
  EXPECT_EQ(window.left, 2);
  EXPECT_FALSE(window.mirrored);
}

}  // namespace
}  // namespace paceline
