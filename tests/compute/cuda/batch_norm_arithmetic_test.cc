// BatchNorm, and other sums over rows: what the GPU's kernels do to an element, in loops on the host,
// against the reference device; with packs and without, in f32 and bf16.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "compute/cuda/host_loops.h"
#include "paceline/compute/cuda/batch_norm_arithmetic_internal.h"
#include "paceline/compute/reference/operations_internal.h"

namespace paceline::cuda {
namespace {

using test::doubles;
using test::expect_near;
using test::image;
using test::random_floats;
using test::stored;

using test::tolerance;

TEST(ColumnGrid, CoversEveryRowAndChannelOnce) {
  for (const std::size_t rows : {1, 3, 128, 1000, 131072, 1605632})
    for (const std::size_t channels : {1, 3, 10, 16, 64, 512, 2048}) {
      const unsigned pack = channels % kPack == 0 ? kPack : 1;
      const ColumnGrid grid = column_grid(rows, channels, pack);
      EXPECT_EQ(grid.per_row * pack, channels);
      EXPECT_GE(grid.tile * grid.tiles, grid.per_row);
      EXPECT_EQ(grid.tile * grid.lanes, 256u);
      EXPECT_GT(grid.chunks * grid.chunk_rows, rows - 1);
      EXPECT_LT((grid.chunks - 1) * grid.chunk_rows, rows);
      std::size_t sum = 0;
      for (unsigned chunk = 0; chunk < grid.chunks; ++chunk) sum += grid.rows_of(chunk);
      EXPECT_EQ(sum, rows);
      EXPECT_LE(grid.chunks * grid.tiles, std::max(1056u, grid.tiles));
    }
}

/// Mean and variance of each channel, as the GPU would find them.
template <class T, int V>
std::vector<MeanVariance> statistics(const std::vector<T>& x, std::size_t rows,
                                     std::size_t channels) {
  const ColumnGrid grid = column_grid(rows, channels, V);
  const auto partials =
      test::column_sums<V>(BatchNormStatisticsColumn<T>{x.data(), channels}, grid);
  std::vector<MeanVariance> of(channels);
  const auto at = [&](std::size_t k, std::size_t c, std::size_t chunk) {
    return partials[(k * channels + c) * grid.chunks + chunk];
  };
  for (std::size_t c = 0; c < channels; ++c) {
    ShiftedSums sums = {double(at(2, c, 0)), 0, 0};
    for (unsigned chunk = 0; chunk < grid.chunks; ++chunk)
      add_chunk(sums, double(grid.rows_of(chunk)), at(2, c, chunk), at(0, c, chunk),
                at(1, c, chunk));
    of[c] = moments_of(sums, double(rows));
  }
  return of;
}

TEST(BatchNorm, VariancesAreExactWhereTheMeanIsFarBeyondThem) {
  const std::size_t rows = 5000, channels = 8;
  for (const float mean : {0.0f, 1.0f, 1e3f, -1e5f}) {
    auto x = random_floats(rows * channels, 0);
    for (float& e : x) e += mean;
    for (std::size_t c = 0; c < channels; ++c) x[c] += c == 0 ? 100.0f : 0.0f;  // a bad first row
    const auto of = statistics<float, kPack>(x, rows, channels);
    for (std::size_t c = 0; c < channels; ++c) {
      double sum = 0, squares = 0;
      for (std::size_t row = 0; row < rows; ++row) sum += double(x[row * channels + c]);
      for (std::size_t row = 0; row < rows; ++row)
        squares += std::pow(double(x[row * channels + c]) - sum / double(rows), 2);
      EXPECT_NEAR(of[c].mean, sum / double(rows), 1e-6 * (1 + std::abs(mean)));
      EXPECT_NEAR(of[c].variance, squares / double(rows), 3e-5 * squares / double(rows)) << mean;
    }
  }
  const auto constant = statistics<float, 1>(std::vector<float>(300, 7.25f), 100, 3);
  for (const MeanVariance& of : constant) {
    EXPECT_EQ(of.mean, 7.25);
    EXPECT_EQ(of.variance, 0);
  }
  const auto single = statistics<float, 1>({1, 2, 3}, 1, 3);
  EXPECT_EQ(single[2].mean, 3);
  EXPECT_EQ(unbiased(single[2].variance, 1), 0);
}

template <class T, int V>
void expect_batch_norm(std::size_t images, std::size_t channels, bool with_other, bool relu) {
  SCOPED_TRACE(testing::Message() << images << " images, " << channels << " channels, other "
                                  << with_other << ", relu " << relu << ", packs of " << V);
  const Shape shape = image(channels, 3, 5);
  const std::size_t rows = images * 15, count = rows * channels;
  const auto x = stored<T>(random_floats(count, 0)), other = stored<T>(random_floats(count, 1)),
             dy = stored<T>(random_floats(count, 2));
  auto weight = random_floats(channels, 3);
  const auto bias = random_floats(channels, 4);
  const BatchNorm op;
  const auto of = statistics<T, V>(x, rows, channels);
  std::vector<float> mean(channels), inverse(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    mean[c] = static_cast<float>(of[c].mean);
    inverse[c] = inverse_deviation_of(of[c].variance, op.epsilon);
  }
  std::vector<T> y(count);
  test::each_row<V>(BatchNormElement<T>{.x = x.data(),
                                        .other = with_other ? other.data() : nullptr,
                                        .y = y.data(),
                                        .weight = weight.data(),
                                        .bias = bias.data(),
                                        .mean = mean.data(),
                                        .inverse_deviation = inverse.data(),
                                        .variance = nullptr,
                                        .epsilon = op.epsilon,
                                        .relu = relu},
                    rows, channels);

  const auto wide = doubles(x), wide_other = doubles(other);
  reference::Call call{.images = images,
                       .in = shape,
                       .out = shape,
                       .x = wide.data(),
                       .weight = weight.data(),
                       .bias = bias.data(),
                       .batch_statistics = true};
  std::vector<double> wanted(count);
  reference::forward(op, call, wanted.data());
  for (std::size_t i = 0; i < count; ++i) {
    if (with_other) wanted[i] += wide_other[i];
    if (relu) wanted[i] = std::max(wanted[i], 0.0);
  }
  expect_near(y, wanted);

  // Backward, with the mask of what was written.
  std::vector<double> dz = doubles(dy);
  if (relu)
    for (std::size_t i = 0; i < count; ++i) dz[i] = to_float(y[i]) > 0 ? dz[i] : 0;
  std::vector<double> wanted_dx(count), wanted_dweight(channels), wanted_dbias(channels);
  reference::backward(
      op, call, dz.data(),
      {.x = wanted_dx.data(), .weight = wanted_dweight.data(), .bias = wanted_dbias.data()});

  const ColumnGrid grid = column_grid(rows, channels, V);
  const auto partials = test::column_sums<V>(
      BatchNormBackwardColumn<T>{
          .x = x.data(), .y = y.data(), .dy = dy.data(), .mean = mean.data(), .relu = relu},
      grid);
  std::vector<BatchNormSlopes> slopes(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    double sum = 0, projection = 0;
    for (unsigned chunk = 0; chunk < grid.chunks; ++chunk) {
      sum += double(partials[c * grid.chunks + chunk]);
      projection += double(partials[(channels + c) * grid.chunks + chunk]);
    }
    slopes[c] = slopes_of(sum, projection, inverse[c], double(rows));
    EXPECT_NEAR(sum, wanted_dbias[c], 1e-4);
    EXPECT_NEAR(projection * double(inverse[c]), wanted_dweight[c], 1e-3);
  }
  for (const bool add : {false, true}) {
    auto dx = dy, dother = other;  // dx in dy's place
    test::each_row<V>(BatchNormBackwardElement<T>{.x = x.data(),
                                                  .y = y.data(),
                                                  .dy = dx.data(),
                                                  .dx = dx.data(),
                                                  .dother = dother.data(),
                                                  .add_to_dother = add,
                                                  .weight = weight.data(),
                                                  .mean = mean.data(),
                                                  .inverse_deviation = inverse.data(),
                                                  .slopes = slopes.data(),
                                                  .relu = relu},
                      rows, channels);
    auto wanted_dother = dz;
    if (add)
      for (std::size_t i = 0; i < count; ++i) wanted_dother[i] += wide_other[i];
    expect_near(dother, wanted_dother);
    for (std::size_t i = 0; i < count; ++i)
      ASSERT_NEAR(double(to_float(dx[i])), wanted_dx[i], 2e-5 + tolerance<T>(wanted_dx[i])) << i;
  }
}

TEST(BatchNorm, IsTheReferencesForwardAndBackward) {
  for (const bool with_other : {false, true})
    for (const bool relu : {false, true}) {
      expect_batch_norm<float, 1>(7, 3, with_other, relu);
      expect_batch_norm<float, kPack>(40, 16, with_other, relu);
      expect_batch_norm<Bf16, kPack>(40, 8, with_other, relu);
      expect_batch_norm<Bf16, 1>(3, 5, with_other, relu);
    }
}

TEST(BatchNorm, MovesRunningStatisticsAsTheReferenceDoes) {
  const std::size_t images = 4, channels = 3, rows = images * 15;
  const auto x = random_floats(rows * channels, 0);
  const auto wide = doubles(x);
  const auto of = statistics<float, 1>(x, rows, channels);
  const reference::Call call{.images = images,
                             .in = image(channels, 3, 5),
                             .out = image(channels, 3, 5),
                             .x = wide.data()};
  for (const double share : {0.1, 1.0, 0.5}) {
    std::vector<float> mean = {0.25f, std::nanf(""), 3}, variance = {1, HUGE_VALF, 0.1f};
    auto wanted_mean = mean, wanted_variance = variance;
    reference::move_running_statistics(call, share, wanted_mean.data(), wanted_variance.data());
    for (std::size_t c = 0; c < channels; ++c) {
      EXPECT_NEAR(moved(mean[c], share, of[c].mean), wanted_mean[c], 1e-6);
      EXPECT_NEAR(moved(variance[c], share, unbiased(of[c].variance, double(rows))),
                  wanted_variance[c], 1e-6);
    }
  }
}

template <int V>
void expect_bias(bool relu) {
  const std::size_t rows = 70, channels = 16;
  const auto before = random_floats(rows * channels, 0), dy = random_floats(rows * channels, 1),
             bias = random_floats(channels, 2);
  auto y = before;
  test::each_row<V>(BiasReluElement<float>{y.data(), bias.data(), relu}, rows, channels);
  std::vector<float> dz(dy.size());
  const ColumnGrid grid = column_grid(rows, channels, V);
  const auto partials =
      test::column_sums<V>(BiasBackwardColumn<float>{y.data(), dy.data(), dz.data(), relu}, grid);
  for (std::size_t c = 0; c < channels; ++c) {
    double wanted = 0, sum = 0;
    for (std::size_t i = c; i < y.size(); i += channels) {
      const float z = before[i] + bias[c];
      ASSERT_EQ(y[i], relu ? std::max(z, 0.0f) : z);
      ASSERT_EQ(dz[i], relu && z <= 0 ? 0 : dy[i]);
      wanted += double(dz[i]);
    }
    for (unsigned chunk = 0; chunk < grid.chunks; ++chunk)
      sum += double(partials[c * grid.chunks + chunk]);
    EXPECT_NEAR(sum, wanted, 1e-5);
  }
}
TEST(Bias, IsAddedBeforeTheReluAndItsGradientSummedBehindIt) {
  for (const bool relu : {false, true}) {
    expect_bias<1>(relu);
    expect_bias<kPack>(relu);
  }
}

TEST(Relu, LetsNanThroughAndStopsTheGradientAtZero) {
  const float nan = std::nanf("");
  EXPECT_TRUE(std::isnan(relu_of(nan)));
  EXPECT_EQ(relu_of(-1), 0);
  EXPECT_EQ(relu_of(2), 2);
  EXPECT_EQ(behind_relu(0, 5), 0);
  EXPECT_EQ(behind_relu(nan, 5), 0);
  EXPECT_EQ(behind_relu(1, 5), 5);
}

}  // namespace
}  // namespace paceline::cuda
