// Linear layers on the GPU against plain loops in double precision; odd sizes, too.
#include "paceline/compute/cuda/linear_internal.h"

#include <gmock/gmock.h>

#include <array>
#include <functional>

#include "compute/cuda/gpu_array.h"

namespace paceline::cuda::test {
namespace {

constexpr std::uint64_t kSeed = 1808;

/// sums[i, j] over k of a(i, k) b(k, j)
std::vector<Sum> product(std::size_t rows, std::size_t columns, std::size_t terms,
                         const std::function<double(std::size_t, std::size_t)>& a,
                         const std::function<double(std::size_t, std::size_t)>& b) {
  std::vector<Sum> sums(rows * columns);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j)
      for (std::size_t k = 0; k < terms; ++k) sums[i * columns + j].add(a(i, k), b(k, j));
  return sums;
}

class LinearOnTheGpu : public GpuTest {
 protected:
  void agrees(LinearShape shape) {
    SCOPED_TRACE(testing::Message()
                 << shape.rows << " x " << shape.in << " -> " << shape.out << ", "
                 << (shape.scalar == Scalar::bf16 ? "bf16"
                     : shape.tf32                 ? "tf32"
                                                  : "f32")
                 << (shape.bias ? ", bias" : "") << (shape.relu ? ", ReLU" : "")
                 << (shape.deterministic ? ", deterministic" : "") << ", seed " << kSeed);
    const auto made = make_linear(shape);
    ASSERT_TRUE(made) << made.error().message;
    auto& linear = *made.value();
    EXPECT_LE(linear.workspace_bytes(), std::size_t{32} << 20);
    EXPECT_TRUE(linear.applies_bias() || (shape.bias && shape.scalar == Scalar::bf16));

    Rng rng(kSeed);
    const auto [rows, in, out] = std::array{shape.rows, shape.in, shape.out};
    const auto x = normal_numbers(rng, rows * in, shape.scalar);
    const auto w = normal_numbers(rng, out * in, shape.scalar);
    const auto dz = normal_numbers(rng, rows * out, shape.scalar);
    const auto bias = normal_numbers(rng, out, Scalar::f32);
    const GpuArray gpu_x(x, shape.scalar), gpu_w(w, shape.scalar), gpu_dz(dz, shape.scalar),
        gpu_bias(bias, Scalar::f32), workspace((linear.workspace_bytes() + 3) / 4, Scalar::f32);
    const GpuArray y(rows * out, shape.scalar), dx(rows * in, shape.scalar),
        dw(out * in, shape.scalar);

    linear.forward(stream, gpu_x.get(), gpu_w.get(), static_cast<const float*>(gpu_bias.get()),
                   y.get(), workspace.get());
    auto forward = product(
        rows, out, in, [&, n = in](auto r, auto i) { return x[r * n + i]; },
        [&, n = in](auto i, auto o) { return w[o * n + i]; });
    if (linear.applies_bias())
      for (std::size_t i = 0; i < forward.size(); ++i) {
        if (shape.bias) forward[i].add(bias[i % shape.out], 1);
        if (shape.relu) forward[i].value = std::max(forward[i].value, 0.0);
      }
    expect_sums(y.values(), forward, shape.scalar, shape.tf32);
    if (!shape.training) return;

    linear.backward_data(stream, gpu_dz.get(), gpu_w.get(), dx.get(), workspace.get());
    expect_sums(dx.values(),
                product(
                    rows, in, out, [&, n = out](auto r, auto o) { return dz[r * n + o]; },
                    [&, n = in](auto o, auto i) { return w[o * n + i]; }),
                shape.scalar, shape.tf32);
    linear.backward_weights(stream, gpu_x.get(), gpu_dz.get(), dw.get(), workspace.get());
    expect_sums(dw.values(),
                product(
                    out, in, rows, [&, n = out](auto o, auto r) { return dz[r * n + o]; },
                    [&, n = in](auto r, auto i) { return x[r * n + i]; }),
                shape.scalar, shape.tf32);
  }
  void agrees(Scalar scalar, bool tf32) {
    for (const auto& [rows, in, out] : std::vector<std::array<std::size_t, 3>>{
             {128, 64, 10}, {128, 256, 256}, {7, 13, 10}, {33, 257, 101}, {1, 1, 1}, {5, 512, 3}})
      for (const bool bias : {false, true})
        for (const bool relu : {false, true})
          agrees({.rows = rows,
                  .in = in,
                  .out = out,
                  .scalar = scalar,
                  .tf32 = tf32,
                  .bias = bias,
                  .relu = relu,
                  .deterministic = bias != relu,
                  .training = bias || relu});
  }
};

TEST_F(LinearOnTheGpu, AgreesWithThePlainLoopsInF32) { agrees(Scalar::f32, false); }
TEST_F(LinearOnTheGpu, AgreesWithThePlainLoopsInTf32) { agrees(Scalar::f32, true); }
TEST_F(LinearOnTheGpu, AgreesWithThePlainLoopsInBf16) { agrees(Scalar::bf16, false); }

TEST(LinearLayer, NeedsAGpu) {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) GTEST_SKIP() << "there is a GPU";
  const auto made = make_linear({.rows = 128, .in = 64, .out = 10, .scalar = Scalar::bf16});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, testing::StartsWith("linear layer, 128 x 64 -> 10, bf16: "));
}

TEST(LinearLayer, HasNoSizeOfZero) {
  const auto made = make_linear({.rows = 0, .in = 64, .out = 10});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message, "linear layer, 0 x 64 -> 10, f32: a size of 0");
}

}  // namespace
}  // namespace paceline::cuda::test
