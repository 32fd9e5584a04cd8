// The CPU's pooling alone, in every format that it runs through, against one loop over every window.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>

#include "paceline/compute/cpu/pooling_internal.h"
#include "paceline/compute/random.h"

namespace paceline::test {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

constexpr float kPoison = -7e33f;  // what nothing may read, or leave
const float kNan = std::nanf("");

struct Case {
  std::size_t images, channels, height, width, kernel_height, kernel_width, stride, padding;
  std::size_t out_height() const { return (height + 2 * padding - kernel_height) / stride + 1; }
  std::size_t out_width() const { return (width + 2 * padding - kernel_width) / stride + 1; }
  pooling::Windows windows() const {
    return {{height, out_height(), kernel_height, stride, padding},
            {width, out_width(), kernel_width, stride, padding}};
  }
};

/// A tensor with memory of its own, padding lanes zero, told by image, channel, row and column.
struct Tensor {
  Tensor(Tag tag, std::size_t images, std::size_t channels, std::size_t height, std::size_t width,
         float value)
      : desc({static_cast<memory::dim>(images), static_cast<memory::dim>(channels),
              static_cast<memory::dim>(height), static_cast<memory::dim>(width)},
             memory::data_type::f32, tag),
        grid(channel_grid(desc).value()),
        values(grid.count(), value),
        view(desc, dnnl::engine(dnnl::engine::kind::cpu, 0), values.data()) {}
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;
  float& at(std::size_t n, std::size_t c, std::size_t y, std::size_t x) {
    return values[grid.offset(n, c / grid.lanes, y * grid.width + x) + c % grid.lanes];
  }
  template <class F>
  void for_each(F f) {
    for (std::size_t n = 0; n < grid.images; ++n)
      for (std::size_t c = 0; c < grid.channels; ++c)
        for (std::size_t y = 0; y < grid.height; ++y)
          for (std::size_t x = 0; x < grid.width; ++x) f(n, c, y, x);
  }
  /// What is written beside the channels.
  void expect_zero_padding() {
    for (std::size_t n = 0; n < grid.images; ++n)
      for (std::size_t c = grid.channels; c < grid.padded_channels(); ++c)
        for (std::size_t y = 0; y < grid.height; ++y)
          for (std::size_t x = 0; x < grid.width; ++x) ASSERT_EQ(at(n, c, y, x), 0.0f);
  }
  memory::desc desc;
  ChannelGrid grid;
  std::vector<float> values;
  memory view;
};

/// Calls f(window's row, column, pixel's row, column) for every pixel of every window, in row order.
template <class F>
void for_each_tap(const Case& c, F f) {
  for (std::size_t oy = 0; oy < c.out_height(); ++oy)
    for (std::size_t ox = 0; ox < c.out_width(); ++ox)
      for (std::size_t ky = 0; ky < c.kernel_height; ++ky)
        for (std::size_t kx = 0; kx < c.kernel_width; ++kx) {
          const std::size_t iy = oy * c.stride + ky - c.padding;  // unsigned: before is far behind
          const std::size_t ix = ox * c.stride + kx - c.padding;
          if (iy < c.height && ix < c.width) f(oy, ox, iy, ix);
        }
}

class PoolingIn : public testing::TestWithParam<Tag> {
 protected:
  /// Random, of few values, so that there are ties; or with what is no number.
  Tensor& fill(Tensor& t, bool with_nan = false) {
    t.for_each([&](std::size_t n, std::size_t c, std::size_t y, std::size_t x) {
      t.at(n, c, y, x) = with_nan && rng.below(4) == 0
                             ? kNan
                             : static_cast<float>(static_cast<int>(rng.below(9)) - 5);
    });
    return t;
  }
  void max_pool(const Case& c, bool positive, bool with_nan);
  void average_pool(const Case& c);
  Rng rng{23};
};

void PoolingIn::max_pool(const Case& c, bool positive, bool with_nan) {
  Tensor x(GetParam(), c.images, c.channels, c.height, c.width, 0);
  Tensor dx(GetParam(), c.images, c.channels, c.height, c.width, kPoison);
  Tensor y(GetParam(), c.images, c.channels, c.out_height(), c.out_width(), kPoison);
  Tensor evaluated(GetParam(), c.images, c.channels, c.out_height(), c.out_width(), kPoison);
  Tensor dy(GetParam(), c.images, c.channels, c.out_height(), c.out_width(), 0);
  fill(x, with_nan);
  fill(dy);
  const memory winners(winners_desc(c.windows(), x.grid), dnnl::engine(dnnl::engine::kind::cpu, 0));
  MaxPoolForward(c.windows(), x.view, y.view, winners, positive).run({});
  MaxPoolForward(c.windows(), x.view, evaluated.view, memory(), positive).run({});
  MaxPoolBackward(c.windows(), dy.view, winners, dx.view).run({});
  Tensor wanted_dx(GetParam(), c.images, c.channels, c.height, c.width, 0);
  for (std::size_t n = 0; n < c.images; ++n)
    for (std::size_t ch = 0; ch < c.channels; ++ch) {
      std::vector<std::optional<std::pair<std::size_t, std::size_t>>> best(c.out_height() *
                                                                           c.out_width());
      for_each_tap(c, [&](std::size_t oy, std::size_t ox, std::size_t iy, std::size_t ix) {
        auto& b = best[oy * c.out_width() + ox];
        if (!b || x.at(n, ch, iy, ix) > x.at(n, ch, b->first, b->second)) b = {iy, ix};
      });
      for (std::size_t oy = 0; oy < c.out_height(); ++oy)
        for (std::size_t ox = 0; ox < c.out_width(); ++ox) {
          const auto [iy, ix] = best[oy * c.out_width() + ox].value();
          const float most = x.at(n, ch, iy, ix);
          if (std::isnan(most)) {
            ASSERT_TRUE(std::isnan(y.at(n, ch, oy, ox)));
            ASSERT_TRUE(std::isnan(evaluated.at(n, ch, oy, ox)));
          } else {
            ASSERT_EQ(y.at(n, ch, oy, ox), most);
            ASSERT_EQ(evaluated.at(n, ch, oy, ox), most);
          }
          if (!positive || most > 0) wanted_dx.at(n, ch, iy, ix) += dy.at(n, ch, oy, ox);
        }
    }
  ASSERT_EQ(dx.values, wanted_dx.values);
  y.expect_zero_padding();
}

void PoolingIn::average_pool(const Case& c) {
  Tensor x(GetParam(), c.images, c.channels, c.height, c.width, 0);
  Tensor dx(GetParam(), c.images, c.channels, c.height, c.width, kPoison);
  Tensor y(GetParam(), c.images, c.channels, c.out_height(), c.out_width(), kPoison);
  Tensor dy(GetParam(), c.images, c.channels, c.out_height(), c.out_width(), 0);
  fill(x);
  fill(dy);
  using Way = AveragePoolStep::Way;
  AveragePoolStep(Way::forward, c.windows(), x.view, y.view).run({});
  AveragePoolStep(Way::backward, c.windows(), dy.view, dx.view).run({});
  const float taps = static_cast<float>(c.windows().taps());
  Tensor wanted_y(GetParam(), c.images, c.channels, c.out_height(), c.out_width(), 0);
  Tensor wanted_dx(GetParam(), c.images, c.channels, c.height, c.width, 0);
  for (std::size_t n = 0; n < c.images; ++n)
    for (std::size_t ch = 0; ch < c.channels; ++ch)
      for_each_tap(c, [&](std::size_t oy, std::size_t ox, std::size_t iy, std::size_t ix) {
        wanted_y.at(n, ch, oy, ox) += x.at(n, ch, iy, ix);  // whole numbers: exact
        wanted_dx.at(n, ch, iy, ix) += dy.at(n, ch, oy, ox);
      });
  for (std::size_t e = 0; e < y.values.size(); ++e)
    ASSERT_FLOAT_EQ(y.values[e], wanted_y.values[e] / taps) << e;
  for (std::size_t e = 0; e < dx.values.size(); ++e)
    ASSERT_NEAR(dx.values[e], wanted_dx.values[e] / taps, 1e-5f) << e;
}

const std::vector<Case> kUnpadded = {
    {2, 32, 8, 8, 2, 2, 2, 0},   {3, 5, 7, 5, 2, 2, 2, 0},  {1, 1, 2, 2, 2, 2, 2, 0},
    {1, 1, 1, 1, 1, 1, 1, 0},    {2, 21, 1, 1, 1, 1, 2, 0}, {2, 17, 9, 9, 3, 3, 2, 0},
    {1, 19, 11, 7, 3, 3, 3, 0},  {2, 9, 8, 8, 2, 2, 3, 0},  {1, 3, 6, 6, 3, 3, 1, 0},
    {2, 24, 5, 7, 5, 7, 1, 0},   {1, 4, 6, 9, 2, 3, 2, 0},  {2, 16, 4, 4, 1, 1, 3, 0},
    {1, 2, 16, 17, 16, 16, 1, 0}};
const std::vector<Case> kPadded = {{2, 16, 8, 8, 3, 3, 2, 1}, {1, 13, 7, 9, 3, 3, 2, 1},
                                   {2, 8, 6, 6, 2, 2, 2, 1},  {1, 1, 5, 5, 3, 3, 1, 1},
                                   {2, 6, 1, 1, 3, 3, 1, 1},  {1, 33, 6, 5, 5, 5, 3, 2},
                                   {1, 7, 1, 1, 2, 2, 1, 1},  {1, 3, 9, 9, 17, 17, 1, 8}};

TEST_P(PoolingIn, AMaximumIsFoundAndItsGradientGoesToTheFirstOfEquals) {
  for (const auto& cases : {kUnpadded, kPadded})
    for (const Case& c : cases) max_pool(c, false, false);
}

TEST_P(PoolingIn, AMaximumThatIsNotPositivePassesNoGradientBehindARelu) {
  for (const auto& cases : {kUnpadded, kPadded})
    for (const Case& c : cases) max_pool(c, true, false);
}

TEST_P(PoolingIn, WhatIsNoNumberWinsWhereItComesFirst) {
  for (const auto& cases : {kUnpadded, kPadded})
    for (const Case& c : cases)
      for (const bool positive : {false, true}) max_pool(c, positive, true);
}

TEST_P(PoolingIn, AMeanIsSharedAmongAllPixelsOfAWindow) {
  for (const Case& c : kUnpadded) average_pool(c);
}

INSTANTIATE_TEST_SUITE_P(Formats, PoolingIn, testing::Values(Tag::nhwc, Tag::nChw16c, Tag::nChw8c),
                         [](const auto& tag) {
                           return tag.param == Tag::nhwc      ? "nhwc"
                                  : tag.param == Tag::nChw16c ? "nChw16c"
                                                              : "nChw8c";
                         });

TEST(PoolingWindows, PixelsKnowTheirWindowsAsWindowsKnowTheirPixels) {
  for (std::size_t kernel = 1; kernel < 6; ++kernel)
    for (std::size_t stride = 1; stride < 5; ++stride)
      for (std::size_t padding = 0; 2 * padding <= kernel; ++padding)
        for (std::size_t in = kernel; in < kernel + 7; ++in) {
          const std::size_t out = (in + 2 * padding - kernel) / stride + 1;
          const pooling::Axis axis(in, out, kernel, stride, padding);
          ASSERT_EQ(axis.pixels.size(), out);
          ASSERT_EQ(axis.windows.size(), in);
          for (std::size_t o = 0; o < out; ++o) {
            EXPECT_GT(axis.pixels[o].count(), 0u);
            for (std::size_t i = 0; i < in; ++i) {
              const bool seen = i + padding >= o * stride && i + padding < o * stride + kernel;
              ASSERT_EQ(seen, axis.pixels[o].first <= i && i < axis.pixels[o].last);
              ASSERT_EQ(seen, axis.windows[i].first <= o && o < axis.windows[i].last);
              if (seen) {
                ASSERT_LT(axis.place(i, o), kernel);
              }
            }
          }
        }
}

}  // namespace
}  // namespace paceline::test
