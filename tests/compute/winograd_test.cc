// Winograd's convolutions as steps, in lanes of 16 and of 8 whatever this machine would choose, against
// loops in double precision: all three passes, in shapes that fall into whole tiles and in others.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>

#include "paceline/compute/cpu/formats_internal.h"
#include "paceline/compute/cpu/winograd_internal.h"
#include "paceline/compute/random.h"
#include "test_seed.h"

namespace paceline::test {
namespace {

struct Case {
  std::size_t lanes, kernel, padding, images, inputs, outputs, height, width;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.images << " images, " << c.inputs << "x" << c.height << "x" << c.width << " to "
       << c.outputs << ", kernel " << c.kernel << ", padding " << c.padding << ", lanes "
       << c.lanes;
}

std::vector<float> random_values(std::size_t count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

/// An activation in blocks of lanes, behind a oneDNN memory.
struct Activation {
  Activation(const Case& c, std::size_t channels, std::size_t height, std::size_t width,
             std::uint64_t seed)
      : desc(f32({dim(c.images), dim(channels), dim(height), dim(width)},
                 c.lanes == 16 ? Tag::nChw16c : Tag::nChw8c)),
        grid(*channel_grid(desc)),
        values(random_values(grid.count(), seed)),
        memory(desc, engine(), values.data()) {}
  static const dnnl::engine& engine() {
    static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
    return cpu;
  }
  float& at(std::size_t image, std::size_t channel, std::size_t y, std::size_t x) {
    return values[grid.offset(image, channel / grid.lanes, y * grid.width + x) +
                  channel % grid.lanes];
  }
  dnnl::memory::desc desc;
  ChannelGrid grid;
  std::vector<float> values;
  dnnl::memory memory;
};

/// A convolution, its operands and the sums that define its passes.
struct Convolved {
  explicit Convolved(const Case& of)
      : c(of),
        high(c.height + 2 * c.padding - c.kernel + 1),
        wide(c.width + 2 * c.padding - c.kernel + 1),
        src(c, c.inputs, c.height, c.width, 1),
        dst(c, c.outputs, high, wide, 2),
        flat(random_values(bias_at() + c.outputs, 3)) {}
  std::size_t bias_at() const { return c.outputs * c.kernel * c.kernel * c.inputs; }
  float& weight(std::vector<float>& w, std::size_t o, std::size_t i, std::size_t y, std::size_t x) {
    return w[((o * c.kernel + y) * c.kernel + x) * c.inputs + i];
  }
  /// Calls f(o, i, y, x, output row, output column, input row, input column) for each product of one
  /// image.
  template <class F>
  void for_each_product(F f) const {
    for (std::size_t o = 0; o < c.outputs; ++o)
      for (std::size_t row = 0; row < high; ++row)
        for (std::size_t column = 0; column < wide; ++column)
          for (std::size_t y = 0; y < c.kernel; ++y)
            for (std::size_t x = 0; x < c.kernel; ++x) {
              const std::size_t in_row = row + y - c.padding, in_column = column + x - c.padding;
              if (in_row >= c.height || in_column >= c.width) continue;  // wraps below zero
              for (std::size_t i = 0; i < c.inputs; ++i)
                f(o, i, y, x, row, column, in_row, in_column);
            }
  }
  Case c;
  std::size_t high, wide;
  Activation src, dst;
  std::vector<float> flat;  // weights, then biases
};

class WinogradTest : public testing::TestWithParam<Case> {
 protected:
  using Tiling = winograd::Tiling;
  using Role = winograd::Role;
  Convolution kind() const { return {c.kernel, 1, c.padding}; }
  dnnl::memory scratch(const dnnl::memory::desc& desc) {
    scratch_.assign(desc.get_size() / sizeof(float), std::nanf(""));
    return {desc, Activation::engine(), scratch_.data()};
  }
  std::size_t threads() const { return static_cast<std::size_t>(omp_get_max_threads()); }

  void run_forward(bool relu) {
    const Tiling t = winograd_tiling(Role::forward, kind(), op.src.desc, op.dst.desc).value();
    WinogradConvolution(t, {0, op.bias_at()}, relu, op.src.memory, op.dst.memory,
                        scratch(WinogradConvolution::scratch_desc(t, threads())))
        .run({.x = op.flat.data()});
  }
  void run_to_data(Role role) {
    const Tiling t = winograd_tiling(role, kind(), op.dst.desc, op.src.desc).value();
    WinogradConvolution(t, {0, {}}, false, op.dst.memory, op.src.memory,
                        scratch(WinogradConvolution::scratch_desc(t, threads())))
        .run({.x = op.flat.data()});
  }
  std::vector<float> run_to_weights() {
    const Tiling t = winograd_tiling(Role::forward, kind(), op.src.desc, op.dst.desc).value();
    std::vector<float> gradient(op.flat.size(), std::nanf(""));
    WinogradWeightGradient(t, {0, op.bias_at()}, op.src.memory, op.dst.memory,
                           scratch(WinogradWeightGradient::scratch_desc(t, threads())))
        .run({.g = gradient.data()});
    return gradient;
  }

  static void expect_close(std::span<const float> got, std::span<const double> wanted) {
    ASSERT_EQ(got.size(), wanted.size());
    double largest = 0;
    for (const double value : wanted) largest = std::max(largest, std::abs(value));
    for (std::size_t k = 0; k < got.size(); ++k)
      ASSERT_NEAR(got[k], wanted[k], 4e-6 * largest) << "element " << k;
  }

  const Case& c = GetParam();
  Convolved op{c};

 private:
  std::vector<float> scratch_;
};

TEST_P(WinogradTest, ConvolvesAddsTheBiasAndCutsBelowZero) {
  const float* const bias = op.flat.data() + op.bias_at();
  std::vector<double> wanted(op.dst.values.size());
  for (std::size_t n = 0; n < c.images; ++n) {
    op.for_each_product([&](std::size_t o, std::size_t i, std::size_t y, std::size_t x,
                            std::size_t row, std::size_t column, std::size_t in_row,
                            std::size_t in_column) {
      wanted[static_cast<std::size_t>(&op.dst.at(n, o, row, column) - op.dst.values.data())] +=
          static_cast<double>(op.weight(op.flat, o, i, y, x)) * op.src.at(n, i, in_row, in_column);
    });
    for (std::size_t o = 0; o < c.outputs; ++o)
      for (std::size_t row = 0; row < op.high; ++row)
        for (std::size_t column = 0; column < op.wide; ++column)
          wanted[static_cast<std::size_t>(&op.dst.at(n, o, row, column) - op.dst.values.data())] +=
              bias[o];
  }
  run_forward(false);
  expect_close(op.dst.values, wanted);
  for (double& value : wanted) value = std::max(value, 0.0);
  run_forward(true);
  expect_close(op.dst.values, wanted);
}

TEST_P(WinogradTest, TakesAGradientBackToTheInputs) {
  std::vector<double> wanted(op.src.values.size());
  for (std::size_t n = 0; n < c.images; ++n)
    op.for_each_product([&](std::size_t o, std::size_t i, std::size_t y, std::size_t x,
                            std::size_t row, std::size_t column, std::size_t in_row,
                            std::size_t in_column) {
      wanted[static_cast<std::size_t>(&op.src.at(n, i, in_row, in_column) -
                                      op.src.values.data())] +=
          static_cast<double>(op.weight(op.flat, o, i, y, x)) * op.dst.at(n, o, row, column);
    });
  for (const Role role : {Role::mirrored, Role::scattered}) {
    std::fill(op.src.values.begin(), op.src.values.end(), std::nanf(""));
    run_to_data(role);
    expect_close(op.src.values, wanted);
  }
}

TEST_P(WinogradTest, SumsTheGradientOfWeightsAndBiases) {
  std::vector<double> weights(op.bias_at()), biases(c.outputs);
  for (std::size_t n = 0; n < c.images; ++n) {
    op.for_each_product([&](std::size_t o, std::size_t i, std::size_t y, std::size_t x,
                            std::size_t row, std::size_t column, std::size_t in_row,
                            std::size_t in_column) {
      weights[((o * c.kernel + y) * c.kernel + x) * c.inputs + i] +=
          static_cast<double>(op.src.at(n, i, in_row, in_column)) * op.dst.at(n, o, row, column);
    });
    for (std::size_t o = 0; o < c.outputs; ++o)
      for (std::size_t row = 0; row < op.high; ++row)
        for (std::size_t column = 0; column < op.wide; ++column)
          biases[o] += op.dst.at(n, o, row, column);
  }
  const std::vector<float> gradient = run_to_weights();
  expect_close(std::span(gradient).first(op.bias_at()), weights);
  expect_close(std::span(gradient).subspan(op.bias_at()), biases);
}

TEST_P(WinogradTest, HasTheSameBitsForAnyNumberOfThreads) {  // WG-1
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "libgomp is not instrumented: only one thread is meaningful under TSan";
#endif
  const int before = omp_get_max_threads();
  std::vector<std::vector<float>> outputs, inputs, gradients;
  for (const int threads : {1, 3}) {
    omp_set_num_threads(threads);
    op = Convolved(c);
    gradients.push_back(run_to_weights());
    run_forward(true);
    outputs.push_back(op.dst.values);
    for (const Role role : {Role::mirrored, Role::scattered}) {
      run_to_data(role);
      inputs.push_back(op.src.values);
    }
  }
  omp_set_num_threads(before);
  EXPECT_EQ(outputs[0], outputs[1]);
  EXPECT_EQ(inputs[0], inputs[2]);
  EXPECT_EQ(inputs[1], inputs[3]);
  EXPECT_EQ(gradients[0], gradients[1]);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::size_t lanes : {16, 8}) {
    all.push_back({lanes, 3, 1, 2, lanes, lanes, 8, 8});           // whole tiles, one block
    all.push_back({lanes, 3, 1, 3, 3 * lanes, 2 * lanes, 7, 10});  // odd numbers of blocks
    all.push_back({lanes, 3, 0, 1, 2 * lanes, 5 * lanes, 5, 6});   // few tiles
    all.push_back({lanes, 3, 2, 2, lanes, lanes, 3, 3});           // as much padding as can be
    all.push_back({lanes, 3, 1, 1, lanes, 2 * lanes, 1, 1});       // one pixel
    all.push_back({lanes, 3, 1, 40, lanes, lanes, 9, 9});          // several blocks of tiles
    all.push_back({lanes, 5, 2, 2, 2 * lanes, lanes, 7, 7});
    all.push_back({lanes, 5, 0, 3, lanes, 2 * lanes, 6, 9});
    all.push_back({lanes, 5, 4, 1, lanes, lanes, 2, 5});
    all.push_back({lanes, 5, 2, 20, lanes, 3 * lanes, 10, 10});
  }
  Rng rng(given_test_seed().value_or(0));
  for (int k = 0; k < 12; ++k) {
    Case c{};
    c.lanes = rng.below(2) != 0 ? 16 : 8;
    c.kernel = rng.below(2) != 0 ? 3 : 5;
    c.padding = rng.below(c.kernel);
    c.images = 1 + rng.below(4);
    c.inputs = c.lanes * (1 + rng.below(3));
    c.outputs = c.lanes * (1 + rng.below(3));
    c.height = c.kernel + rng.below(9);
    c.width = c.kernel + rng.below(9);
    all.push_back(c);
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(Cases, WinogradTest, testing::ValuesIn(cases()));

TEST(WinogradTiling, IsThereForWholeBlocksAtStrideOne) {
  const auto blocked = [](dnnl::memory::dim channels, dnnl::memory::dim side) {
    return f32({2, channels, side, side}, Tag::nChw16c);
  };
  const auto has_tiling = [](const Convolution& op, const dnnl::memory::desc& from,
                             const dnnl::memory::desc& to) {
    return winograd_tiling(winograd::Role::forward, op, from, to).has_value();
  };
  EXPECT_TRUE(has_tiling({3, 1, 1}, blocked(16, 8), blocked(32, 8)));
  EXPECT_TRUE(has_tiling({5, 1, 0}, blocked(16, 8), blocked(32, 4)));
  EXPECT_FALSE(has_tiling({3, 2, 1}, blocked(16, 8), blocked(32, 4)));
  EXPECT_FALSE(has_tiling({1, 1, 0}, blocked(16, 8), blocked(32, 8)));
  EXPECT_FALSE(has_tiling({3, 1, 3}, blocked(16, 8), blocked(32, 12)));
  EXPECT_FALSE(has_tiling({3, 1, 1}, blocked(20, 8), blocked(32, 8)));
  EXPECT_FALSE(has_tiling({3, 1, 1}, f32({2, 3, 8, 8}, Tag::nhwc), blocked(16, 8)));
}

TEST(WinogradTiling, GoesBackByTheFewerTiles) {
  using winograd::Role;
  const auto blocked = [](dnnl::memory::dim channels, dnnl::memory::dim side) {
    return f32({2, channels, side, side}, Tag::nChw16c);
  };
  EXPECT_EQ(winograd_tiling_back({3, 1, 1}, blocked(16, 8), blocked(16, 8))->role, Role::mirrored);
  EXPECT_EQ(winograd_tiling_back({5, 1, 2}, blocked(16, 8), blocked(16, 8))->role, Role::mirrored);
  EXPECT_EQ(winograd_tiling_back({5, 1, 0}, blocked(16, 8), blocked(16, 12))->role,
            Role::scattered);
  EXPECT_EQ(winograd_tiling_back({5, 1, 4}, blocked(16, 12), blocked(16, 8))->role, Role::mirrored);
}

}  // namespace
}  // namespace paceline::test
