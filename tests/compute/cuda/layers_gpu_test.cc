// The kernels of layers on a GPU, against the reference and against their own element functions in
// loops on the host; in f32 and bf16, with packs and without.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "compute/cuda/gpu_memory.h"
#include "compute/cuda/host_loops.h"
#include "paceline/compute/cuda/batch_norm_internal.h"
#include "paceline/compute/cuda/dropout_arithmetic_internal.h"
#include "paceline/compute/cuda/images_arithmetic_internal.h"
#include "paceline/compute/cuda/loss_internal.h"
#include "paceline/compute/cuda/pointwise_arithmetic_internal.h"
#include "paceline/compute/cuda/pooling_arithmetic_internal.h"
#include "paceline/compute/reference/operations_internal.h"

namespace paceline::cuda {
namespace {

using test::doubles;
using test::expect_near;
using test::OnGpu;
using test::random_floats;
using test::stored;

const cudaStream_t kStream = cudaStreamPerThread;
template <class T>
constexpr Scalar scalar_of() {
  return std::is_same_v<T, float> ? Scalar::f32 : Scalar::bf16;
}

template <class T>
class LayersOnGpu : public test::GpuTest {};
using Types = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(LayersOnGpu, Types);

TYPED_TEST(LayersOnGpu, PoolsAsItsElementFunctionsDo) {
  using T = TypeParam;
  for (const std::size_t channels : {3, 24})
    for (const std::size_t kernel : {2, 3})
      for (const bool add : {false, true}) {
        PoolShape shape{.images = 3, .channels = channels, .in_height = 9, .in_width = 11};
        shape.kernel_height = shape.kernel_width = kernel;
        shape.padding = kernel / 2;
        shape.out_height = (9 + 2 * shape.padding - kernel) / 2 + 1;
        shape.out_width = (11 + 2 * shape.padding - kernel) / 2 + 1;
        shape.scalar = scalar_of<T>();
        const std::size_t in = 3 * 99 * channels,
                          out = 3 * shape.out_height * shape.out_width * channels;
        const auto x = stored<T>(random_floats(in, 0)), dy = stored<T>(random_floats(out, 1));
        auto dx = stored<T>(random_floats(in, 2));
        std::vector<T> y(out);
        std::vector<std::uint8_t> winners(out);
        const OnGpu gpu_x(x), gpu_dy(dy), gpu_dx(dx), gpu_y(y);
        const OnGpu gpu_winners(winners);
        max_pool(kStream, shape, gpu_x.data(), gpu_y.data(), gpu_winners.data());
        max_pool_backward(kStream, shape, gpu_dy.data(), gpu_winners.data(), gpu_dx.data(), add);
        const PoolExtents of(shape);
        test::each_element<1>(MaxPoolElement<T>{x.data(), y.data(), winners.data(), of}, out);
        test::each_element<1>(
            MaxPoolBackwardElement<T>{dy.data(), winners.data(), dx.data(), add, of}, in);
        EXPECT_EQ(doubles(gpu_y.get()), doubles(y));
        EXPECT_EQ(gpu_winners.get(), winners);
        EXPECT_EQ(doubles(gpu_dx.get()), doubles(dx));

        shape.padding = 0;
        shape.out_height = (9 - kernel) / 2 + 1, shape.out_width = (11 - kernel) / 2 + 1;
        if (add) {  // the whole image
          shape.kernel_height = 9, shape.kernel_width = 11;
          shape.out_height = shape.out_width = 1;
        }
        const PoolExtents mean(shape);
        y.resize(3 * shape.out_height * shape.out_width * channels);
        const OnGpu gpu_mean(y);
        average_pool(kStream, shape, gpu_x.data(), gpu_mean.data());
        average_pool_backward(kStream, shape, gpu_dy.data(), gpu_dx.data(), add);
        test::each_element<1>(AveragePoolElement<T>{x.data(), y.data(), mean}, y.size());
        test::each_element<1>(AveragePoolBackwardElement<T>{dy.data(), dx.data(), add, mean}, in);
        expect_near(gpu_mean.get(), doubles(y));
        expect_near(gpu_dx.get(), doubles(dx));
      }
}

TYPED_TEST(LayersOnGpu, TouchesEachElementOnceInAnyNumberAndAlignment) {
  using T = TypeParam;
  const Scalar scalar = scalar_of<T>();
  for (const std::size_t count : {1, 7, 8, 1003, 5'000'001})
    for (const std::size_t offset : {0, 1}) {
      const auto a = stored<T>(random_floats(count, 0)), b = stored<T>(random_floats(count, 1));
      auto y = a;
      const std::uint64_t seed = 9;
      const OnGpu gpu_a(a, offset), gpu_b(b), gpu_y(y, offset);
      const OnGpu gpu_seed(std::vector<std::uint64_t>{seed});
      add(kStream, scalar, count, gpu_a.data(), gpu_b.data(), gpu_y.data(), true);
      accumulate(kStream, scalar, count, gpu_a.data(), gpu_y.data());
      relu(kStream, scalar, count, gpu_y.data(), gpu_y.data());
      relu_backward(kStream, scalar, count, gpu_y.data(), gpu_a.data(), gpu_b.data(), true);
      dropout(kStream, scalar, count, gpu_b.data(), gpu_y.data(), gpu_seed.data(), 3, 0.3, false);
      auto z = b;
      test::each_element<1>(AddElement<T>{a.data(), b.data(), y.data(), true}, count);
      test::each_element<1>(AddElement<T>{y.data(), a.data(), y.data(), false}, count);
      test::each_element<1>(ReluElement<T>{y.data(), y.data()}, count);
      test::each_element<1>(ReluBackwardElement<T>{y.data(), a.data(), z.data(), true}, count);
      test::each_element<1>(
          DropoutElement<T>{z.data(), y.data(), &seed, 3, DropoutFactors(0.3), false}, count);
      EXPECT_EQ(doubles(gpu_b.get()), doubles(z));
      EXPECT_EQ(doubles(gpu_y.get()), doubles(y));

      const OnGpu gpu_wide(std::vector<float>(count), offset);
      const OnGpu gpu_back(std::vector<Bf16>(count), offset);
      convert(kStream, scalar, gpu_y.data(), Scalar::f32, gpu_wide.data(), count);
      convert(kStream, Scalar::f32, gpu_wide.data(), Scalar::bf16, gpu_back.data(), count);
      const auto back = gpu_back.get();
      for (std::size_t i = 0; i < count; ++i)
        ASSERT_EQ(back[i].bits, to_bf16(to_float(y[i])).bits) << i;
    }
}

TYPED_TEST(LayersOnGpu, AddsABiasAndSumsItsGradient) {
  using T = TypeParam;
  for (const std::size_t channels : {10, 16, 40, 512, 4096})
    for (const std::size_t rows : {1, 128, 3000}) {
      const std::size_t count = rows * channels;
      auto y = stored<T>(random_floats(count, 0));
      const auto dy = stored<T>(random_floats(count, 1));
      const auto bias = random_floats(channels, 2);
      const OnGpu gpu_y(y), gpu_dy(dy), gpu_dbias(std::vector<T>(channels, T{}));
      const OnGpu gpu_bias(bias);
      const OnGpu scratch(std::vector<std::byte>(bias_scratch_bytes(rows, channels)));
      bias_relu(kStream, scalar_of<T>(), rows, channels, gpu_y.data(), gpu_bias.data(), true);
      bias_relu_backward(kStream, scalar_of<T>(), rows, channels, gpu_y.data(), gpu_dy.data(),
                         gpu_dy.data(), gpu_dbias.data(), true, scratch.data());
      test::each_row<1>(BiasReluElement<T>{y.data(), bias.data(), true}, rows, channels);
      EXPECT_EQ(doubles(gpu_y.get()), doubles(y));
      std::vector<double> dz = doubles(dy), dbias(channels);
      for (std::size_t i = 0; i < count; ++i) {
        if (!(to_float(y[i]) > 0)) dz[i] = 0;
        dbias[i % channels] += dz[i];
      }
      EXPECT_EQ(doubles(gpu_dy.get()), dz);
      const auto got = gpu_dbias.get();
      for (std::size_t c = 0; c < channels; ++c)
        ASSERT_NEAR(double(to_float(got[c])), dbias[c], 1e-3 + 0.005 * std::abs(dbias[c]));
    }
}

/// One BatchNorm on the GPU, forward and backward.
template <class T>
struct BatchNormCase {
  BatchNormCase(std::size_t images, std::size_t channels)
      : shape{images * 15, channels, scalar_of<T>()},
        x(stored<T>(random_floats(shape.rows * channels, 0))),
        other(stored<T>(random_floats(shape.rows * channels, 1))),
        dy(stored<T>(random_floats(shape.rows * channels, 2))) {}
  void run() {
    const BatchNormForward forward{.x = x.data(),
                                   .other = other.data(),
                                   .y = y.data(),
                                   .weight = weight.data(),
                                   .bias = bias.data(),
                                   .mean = mean.data(),
                                   .inverse_deviation = inverse.data(),
                                   .running_mean = running_mean.data(),
                                   .running_variance = running_variance.data(),
                                   .device_momentum = momentum.data(),
                                   .relu = true};
    batch_norm_train(kStream, shape, forward, scratch.data());
    const BatchNormBackward backward{.x = x.data(),
                                     .y = y.data(),
                                     .dy = dy.data(),
                                     .dx = dx.data(),
                                     .dother = dother.data(),
                                     .weight = weight.data(),
                                     .mean = mean.data(),
                                     .inverse_deviation = inverse.data(),
                                     .dweight = dweight.data(),
                                     .dbias = dbias.data(),
                                     .relu = true};
    batch_norm_backward(kStream, shape, backward, scratch.data());
  }
  BatchNormShape shape;
  const OnGpu<T> x, other, dy;
  const OnGpu<T> y{std::vector<T>(shape.rows * shape.channels)}, dx{y.get()}, dother{y.get()};
  const OnGpu<T> dweight{std::vector<T>(shape.channels)}, dbias{dweight.get()};
  const OnGpu<float> weight{random_floats(shape.channels, 3)},
      bias{random_floats(shape.channels, 4)}, mean{bias.get()}, inverse{bias.get()},
      running_mean{std::vector<float>(shape.channels, 0.5f)}, running_variance{bias.get()},
      momentum{std::vector<float>{0.25f}};
  const OnGpu<std::byte> scratch{std::vector<std::byte>(batch_norm_scratch_bytes(shape))};
};

TYPED_TEST(LayersOnGpu, NormalisesAsTheReferenceDoes) {
  using T = TypeParam;
  for (const std::size_t images : {1, 40, 1000})
    for (const std::size_t channels : {3, 16, 64, 520}) {
      SCOPED_TRACE(testing::Message() << images << " images, " << channels << " channels");
      BatchNormCase<T> on_gpu(images, channels);
      const auto weight = on_gpu.weight.get(), bias = on_gpu.bias.get();
      const auto x = doubles(on_gpu.x.get()), other = doubles(on_gpu.other.get());
      auto running_mean = on_gpu.running_mean.get(),
           running_variance = on_gpu.running_variance.get();
      on_gpu.run();
      const Shape image = test::image(channels, 3, 5);
      const reference::Call call{.images = images,
                                 .in = image,
                                 .out = image,
                                 .x = x.data(),
                                 .weight = weight.data(),
                                 .bias = bias.data(),
                                 .batch_statistics = true};
      std::vector<double> wanted(x.size()), dx(x.size()), dweight(channels), dbias(channels);
      reference::forward(BatchNorm{}, call, wanted.data());
      const auto y = on_gpu.y.get();
      auto dz = doubles(on_gpu.dy.get());
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        wanted[i] = std::max(wanted[i] + other[i], 0.0);
        if (!(to_float(y[i]) > 0)) dz[i] = 0;
        ASSERT_NEAR(double(to_float(y[i])), wanted[i], 1e-5 + test::tolerance<T>(wanted[i]));
      }
      reference::backward(BatchNorm{}, call, dz.data(),
                          {.x = dx.data(), .weight = dweight.data(), .bias = dbias.data()});
      EXPECT_EQ(doubles(on_gpu.dother.get()), dz);
      const auto got = doubles(on_gpu.dx.get());
      for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got[i], dx[i], 3e-5 + test::tolerance<T>(dx[i]));
      const auto got_dweight = doubles(on_gpu.dweight.get()),
                 got_dbias = doubles(on_gpu.dbias.get());
      for (std::size_t c = 0; c < channels; ++c) {
        ASSERT_NEAR(got_dweight[c], dweight[c], 1e-3 + 0.005 * std::abs(dweight[c]));
        ASSERT_NEAR(got_dbias[c], dbias[c], 1e-3 + 0.005 * std::abs(dbias[c]));
      }
      reference::move_running_statistics(call, 0.25, running_mean.data(), running_variance.data());
      expect_near(on_gpu.running_mean.get(), doubles(running_mean));
      expect_near(on_gpu.running_variance.get(), doubles(running_variance));
    }
}

TYPED_TEST(LayersOnGpu, GivesTheSameBitsFromACapturedGraph) {
  BatchNormCase<TypeParam> direct(40, 16), captured(40, 16);
  direct.run();
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamSynchronize(kStream), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(kStream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  captured.run();
  ASSERT_EQ(cudaStreamEndCapture(kStream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(executable, kStream), cudaSuccess);
  EXPECT_EQ(doubles(captured.y.get()), doubles(direct.y.get()));
  EXPECT_EQ(doubles(captured.dx.get()), doubles(direct.dx.get()));
  EXPECT_EQ(captured.running_variance.get(), direct.running_variance.get());
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

TYPED_TEST(LayersOnGpu, TheLossIsTheReferences) {
  using T = TypeParam;
  for (const std::size_t classes : {2, 10, 1000})
    for (const std::size_t images : {1, 128, 700})
      for (const double smoothing : {0.0, 0.1}) {
        auto values = random_floats(images * classes, 0);
        for (std::size_t i = 0; i + 1 < values.size(); i += 7) values[i + 1] = values[i];  // equals
        const auto logits = stored<T>(values);
        std::vector<std::int32_t> labels(images);
        for (std::size_t i = 0; i < images; ++i)
          labels[i] = static_cast<std::int32_t>(i * 7 % classes);
        const LossShape shape{images, classes, scalar_of<T>()};
        const OnGpu gpu_logits(logits), gpu_dlogits(logits);
        const OnGpu gpu_labels(labels);
        const OnGpu gpu_f32(std::vector<float>(logits.size()));
        const OnGpu scratch(std::vector<std::byte>(loss_scratch_bytes(shape)));
        const OnGpu gpu_sums(std::vector<LossSums>(1));
        softmax_cross_entropy(kStream, shape, gpu_logits.data(), gpu_labels.data(), smoothing,
                              gpu_f32.data(), gpu_dlogits.data(), gpu_sums.data(), scratch.data());
        const auto wide = doubles(logits);
        std::vector<double> dlogits(wide.size());
        const Evaluation wanted =
            reference::softmax_cross_entropy(wide, classes, labels, smoothing, dlogits.data());
        const LossSums sums = gpu_sums.get()[0];
        EXPECT_NEAR(sums.loss, wanted.loss_sum, 1e-5 * wanted.loss_sum);
        EXPECT_EQ(sums.errors, wanted.errors);
        EXPECT_EQ(doubles(gpu_f32.get()), wide);
        const auto got = doubles(gpu_dlogits.get());
        for (std::size_t i = 0; i < got.size(); ++i)
          ASSERT_NEAR(got[i], dlogits[i], 1e-6 / double(images) + 0.005 * std::abs(dlogits[i]));
      }
}

}  // namespace
}  // namespace paceline::cuda
