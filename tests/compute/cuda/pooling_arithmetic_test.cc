// Pooling, shortcuts and cut images: what the GPU's kernels do to an element, in loops on the host,
// against the reference device; with packs and without, in f32 and bf16.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "compute/cuda/host_loops.h"
#include "paceline/compute/cuda/images_arithmetic_internal.h"
#include "paceline/compute/cuda/pointwise_arithmetic_internal.h"
#include "paceline/compute/cuda/pooling_arithmetic_internal.h"
#include "paceline/compute/cut_images_internal.h"
#include "paceline/compute/device.h"
#include "paceline/compute/reference/operations_internal.h"

namespace paceline::cuda {
namespace {

using test::doubles;
using test::expect_near;
using test::image;
using test::random_floats;
using test::stored;

std::size_t pooled(std::size_t in, std::size_t kernel, std::size_t stride, std::size_t padding) {
  return (in + 2 * padding - kernel) / stride + 1;
}
/// Gradients of the reference, from what is there already.
std::vector<double> reference_gradient(const OperationKind& kind, const reference::Call& call,
                                       const std::vector<double>& dy, std::vector<double> from) {
  reference::backward(kind, call, dy.data(), {.x = from.data()});
  return from;
}

template <class T, int V>
void expect_pooling(bool maximum, const PoolShape& shape) {
  SCOPED_TRACE(testing::Message() << (maximum ? "maximum of " : "mean of ") << shape.images << " x "
                                  << shape.in_height << " x " << shape.in_width << " x "
                                  << shape.channels << ", kernel " << shape.kernel_height
                                  << ", stride " << shape.stride << ", padding " << shape.padding
                                  << ", packs of " << V);
  const reference::Call shapes{.images = shape.images,
                               .in = image(shape.channels, shape.in_height, shape.in_width),
                               .out = image(shape.channels, shape.out_height, shape.out_width)};
  const std::size_t in_count = shape.images * shapes.in.count(),
                    out_count = shape.images * shapes.out.count();
  auto values = random_floats(in_count, 0);
  for (std::size_t i = 0; i < in_count; i += 3) values[i] = 0.5f;  // equals
  for (std::size_t i = 0; i < in_count; i += 31) values[i] = std::nanf("");
  if (!maximum) values = random_floats(in_count, 0);
  const auto x = stored<T>(values), dy = stored<T>(random_floats(out_count, 1)),
             before = stored<T>(random_floats(in_count, 2));
  std::vector<T> y(out_count), dx(in_count);
  std::vector<std::uint8_t> winners(out_count, 255);
  const PoolExtents of(shape);
  const auto backward = [&](bool add) {
    dx = before;
    if (maximum)
      test::each_element<V>(
          MaxPoolBackwardElement<T>{dy.data(), winners.data(), dx.data(), add, of}, in_count);
    else
      test::each_element<V>(AveragePoolBackwardElement<T>{dy.data(), dx.data(), add, of}, in_count);
  };
  if (maximum) {
    std::vector<T> unnoted(out_count);
    test::each_element<V>(MaxPoolElement<T>{x.data(), y.data(), winners.data(), of}, out_count);
    test::each_element<V>(MaxPoolElement<T>{x.data(), unnoted.data(), nullptr, of}, out_count);
    for (std::size_t i = 0; i < out_count; ++i)
      ASSERT_EQ(bits_of(to_float(y[i])), bits_of(to_float(unnoted[i])));
  } else {
    test::each_element<V>(AveragePoolElement<T>{x.data(), y.data(), of}, out_count);
  }

  const OperationKind kind =
      maximum ? OperationKind(MaxPool{shape.kernel_height, shape.stride, shape.padding})
              : OperationKind(AveragePool{shape.kernel_height, shape.stride});
  reference::Call call = shapes;
  const auto wide = doubles(x);
  call.x = wide.data();
  std::vector<double> wanted(out_count);
  reference::forward(kind, call, wanted.data());
  if (maximum) {
    for (std::size_t i = 0; i < out_count; ++i)
      ASSERT_TRUE(double(to_float(y[i])) == wanted[i] ||
                  (std::isnan(to_float(y[i])) && std::isnan(wanted[i])))
          << i;
  } else {
    expect_near(y, wanted);
  }
  backward(false);
  expect_near(dx, reference_gradient(kind, call, doubles(dy), std::vector<double>(in_count)));
  backward(true);
  expect_near(dx, reference_gradient(kind, call, doubles(dy), doubles(before)));
}

TEST(Pooling, IsTheReferencesInRandomShapes) {
  Rng rng(3);
  for (int trial = 0; trial < 150; ++trial) {
    PoolShape shape;
    shape.images = 1 + rng.below(3);
    shape.channels = trial % 2 == 0 ? 8 * (1 + rng.below(2)) : 1 + rng.below(5);
    shape.kernel_height = shape.kernel_width = 1 + rng.below(5);
    shape.stride = 1 + rng.below(4);
    const bool maximum = trial % 3 != 0;
    shape.padding = maximum ? rng.below(shape.kernel_height / 2 + 1) : 0;
    shape.in_height = shape.kernel_height + rng.below(9);
    shape.in_width = shape.kernel_width + rng.below(9);
    shape.out_height = pooled(shape.in_height, shape.kernel_height, shape.stride, shape.padding);
    shape.out_width = pooled(shape.in_width, shape.kernel_width, shape.stride, shape.padding);
    expect_pooling<float, 1>(maximum, shape);
    expect_pooling<Bf16, 1>(maximum, shape);
    if (shape.channels % kPack != 0) continue;
    expect_pooling<float, kPack>(maximum, shape);
    expect_pooling<Bf16, kPack>(maximum, shape);
  }
}

TEST(Pooling, OfWholeImagesIsTheGlobalMean) {
  const PoolShape shape{.images = 2,
                        .channels = 8,
                        .in_height = 3,
                        .in_width = 5,
                        .out_height = 1,
                        .out_width = 1,
                        .kernel_height = 3,
                        .kernel_width = 5,
                        .stride = 1};
  const auto x = random_floats(2 * 15 * 8, 0), dy = random_floats(16, 1);
  std::vector<float> y(16), dx(x.size());
  const PoolExtents of(shape);
  test::each_element<kPack>(AveragePoolElement<float>{x.data(), y.data(), of}, y.size());
  test::each_element<kPack>(AveragePoolBackwardElement<float>{dy.data(), dx.data(), false, of},
                            dx.size());
  const auto wide = doubles(x);
  const reference::Call call{
      .images = 2, .in = image(8, 3, 5), .out = image(8, 1, 1), .x = wide.data()};
  std::vector<double> wanted(16);
  reference::forward(GlobalAveragePool{}, call, wanted.data());
  expect_near(y, wanted);
  expect_near(dx, reference_gradient(GlobalAveragePool{}, call, doubles(dy),
                                     std::vector<double>(dx.size())));
}

TEST(Pixel, IsFoundOnBothSidesOf32Bits) {
  for (const std::size_t i : {std::size_t{0}, (std::size_t{1} << 32) - 1, std::size_t{1} << 32,
                              (std::size_t{1} << 35) + 12345}) {
    const Pixel at = pixel_at(i, 7, 11, 24);
    EXPECT_EQ(element_at(at, 7, 11, 24), i);
    EXPECT_LT(at.y, 7u);
    EXPECT_LT(at.x, 11u);
    EXPECT_LT(at.channel, 24u);
  }
}

template <class T, int V>
void expect_shortcut(const ShortcutShape& shape) {
  const reference::Call shapes{.images = shape.images,
                               .in = image(shape.in_channels, shape.in_height, shape.in_width),
                               .out = image(shape.out_channels, shape.out_height, shape.out_width)};
  const std::size_t in_count = shape.images * shapes.in.count(),
                    out_count = shape.images * shapes.out.count();
  const ShortcutExtents of(shape);
  if (V > 1) {
    ASSERT_TRUE(of.packs());
  }
  const auto x = stored<T>(random_floats(in_count, 0)), dy = stored<T>(random_floats(out_count, 1)),
             before = stored<T>(random_floats(in_count, 2));
  std::vector<T> y(out_count);
  test::each_element<V>(ShortcutElement<T>{x.data(), y.data(), of}, out_count);
  const PaddedShortcut kind{shape.stride};
  reference::Call call = shapes;
  const auto wide = doubles(x);
  call.x = wide.data();
  std::vector<double> wanted(out_count);
  reference::forward(kind, call, wanted.data());
  EXPECT_EQ(doubles(y), wanted);
  for (const bool add : {false, true}) {
    auto dx = before;
    test::each_element<V>(ShortcutBackwardElement<T>{dy.data(), dx.data(), add, of}, in_count);
    expect_near(dx, reference_gradient(kind, call, doubles(dy),
                                       add ? doubles(before) : std::vector<double>(in_count)));
  }
}
TEST(Shortcut, IsTheReferencesWhetherOrNotPacksFit) {
  for (const std::size_t stride : {1, 2, 3})
    for (const std::size_t height : {4, 5, 7}) {
      ShortcutShape shape{.images = 2, .stride = stride, .in_height = height, .in_width = 6};
      shape.out_height = (height + stride - 1) / stride;
      shape.out_width = (6 + stride - 1) / stride;
      shape.in_channels = 3, shape.out_channels = 7;
      expect_shortcut<float, 1>(shape);
      shape.in_channels = 8, shape.out_channels = 16;  // 4 before: no packs
      EXPECT_FALSE(ShortcutExtents(shape).packs());
      expect_shortcut<Bf16, 1>(shape);
      shape.in_channels = 16, shape.out_channels = 32;
      expect_shortcut<float, kPack>(shape);
      expect_shortcut<Bf16, kPack>(shape);
    }
}

template <int V>
void expect_cut(std::size_t out_channels) {
  const CutShape shape{.images = 5,
                       .channels = 3,
                       .in_height = 6,
                       .in_width = 7,
                       .out_height = 5,
                       .out_width = 4,
                       .out_channels = out_channels};
  Rng rng(5);
  std::vector<std::uint8_t> bytes(5 * 6 * 7 * 3);
  for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(rng.next());
  const std::vector<Cut> cuts = {{0, 0, 0}, {1, 3, 1}, {-2, -3, 0}, {-2, 5, 1}, {4, -1, 1}};
  std::vector<std::int32_t> words;
  for (const Cut& cut : cuts) words.insert(words.end(), {cut.top, cut.left, cut.flip});
  const std::array<float, 3> scale = {0.017f, 0.0203f, 0.51f}, shift = {-1.7f, 0.3f, -99.9f};
  std::vector<float> y(5 * 5 * 4 * out_channels, -1);
  test::each_element<V>(CutElement<float>{bytes.data(), words.data(), scale.data(), shift.data(),
                                          y.data(), CutExtents(shape)},
                        y.size());
  const RawBatch raw{.images = bytes,
                     .stored = {.channels = 3, .height = 6, .width = 7},
                     .cuts = cuts,
                     .scale = scale,
                     .shift = shift};
  std::vector<float> wanted(5 * 5 * 4 * 3);
  cut_images(raw, {.channels = 3, .height = 5, .width = 4}, wanted);
  for (std::size_t e = 0; e < y.size(); ++e) {
    const std::size_t pixel = e / out_channels, c = e % out_channels;
    ASSERT_EQ(y[e], c < 3 ? wanted[pixel * 3 + c] : 0) << e;
  }
}
TEST(Cut, TakesWindowsFlipsThemAndFillsUpWithZeros) {
  expect_cut<1>(3);
  expect_cut<1>(4);
  expect_cut<kPack>(8);
}

TEST(PadElement, CutsOrFillsUpRows) {
  const std::size_t rows = 5;
  const auto from = random_floats(rows * 3, 0);
  std::vector<Bf16> to(rows * 8);
  test::each_element<kPack>(PadElement<float, Bf16>{from.data(), to.data(), 3, 8}, to.size());
  std::vector<float> back(rows * 3);
  test::each_element<1>(PadElement<Bf16, float>{to.data(), back.data(), 8, 3}, back.size());
  for (std::size_t i = 0; i < to.size(); ++i)
    ASSERT_EQ(to[i].bits, i % 8 < 3 ? to_bf16(from[i / 8 * 3 + i % 8]).bits : 0);
  for (std::size_t i = 0; i < back.size(); ++i) ASSERT_EQ(back[i], to_float(to_bf16(from[i])));
}

}  // namespace
}  // namespace paceline::cuda
