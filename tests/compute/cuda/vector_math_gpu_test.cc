// VectorMath on a GPU: every operation against the CPU's, bit for bit, at any length and alignment;
// operands of every kind of memory; twins; copies that go on beside other work.
#include "paceline/compute/vector_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "compute/cuda/gpu_memory.h"
#include "compute/cuda/host_loops.h"
#include "paceline/compute/cuda/twins_internal.h"
#include "paceline/compute/cuda/update_arithmetic_internal.h"
#include "paceline/compute/cuda/vector_math_internal.h"

namespace paceline::cuda {
namespace {

using test::OnGpu;
using test::Pinned;
using test::random_floats;

constexpr Momentum kForms[] = {Momentum::none, Momentum::heavy_ball, Momentum::nesterov,
                               Momentum::sutskever};
const VectorMath& cpu() { return vector_math_f32(); }
Vector view(std::vector<float>& v) { return {v.data(), v.size()}; }
ConstVector view(const std::vector<float>& v) { return {v.data(), v.size()}; }

class VectorMathOnGpu : public test::GpuTest {
 protected:
  /// Calls f with lengths and offsets that packs fit and that they do not.
  static void everywhere(const std::function<void(std::size_t count, std::size_t offset)>& f) {
    for (const std::size_t count : {0, 1, 3, 4, 1023, 5000, 1'100'003})
      for (const std::size_t offset : {0, 1, 4}) {
        SCOPED_TRACE(testing::Message() << count << " elements, offset " << offset);
        f(count, offset);
      }
  }
  /// The same operation here and on the CPU.
  void expect_same(
      const std::function<void(const VectorMath&, Vector, Vector, Vector)>& operation) {
    everywhere([&](std::size_t count, std::size_t offset) {
      auto a = random_floats(count, 0), b = random_floats(count, 1), c = random_floats(count, 2);
      const OnGpu gpu_a(a, offset), gpu_b(b, 0), gpu_c(c, offset);
      operation(cpu(), view(a), view(b), view(c));
      operation(*math_, gpu_a.view(), gpu_b.view(), gpu_c.view());
      EXPECT_EQ(gpu_a.get(), a);
      EXPECT_EQ(gpu_b.get(), b);
      EXPECT_EQ(gpu_c.get(), c);
    });
  }

  Twins twins_;
  const std::unique_ptr<VectorMath> math_ = make_vector_math(twins_);
};

TEST_F(VectorMathOnGpu, SimpleOperationsAreTheCpusBitForBit) {
  using M = const VectorMath&;
  expect_same([](M math, Vector a, Vector, Vector) { math.fill(a, 0.1); });
  expect_same([](M math, Vector a, Vector b, Vector) { math.copy(a, b); });
  expect_same([](M math, Vector a, Vector, Vector) { math.scale(a, 0.37); });
  expect_same([](M math, Vector a, Vector b, Vector) { math.axpy(a, 0.37, b); });
  expect_same([](M math, Vector a, Vector b, Vector c) { math.difference(a, 0.37, b, c); });
  expect_same([](M math, Vector a, Vector b, Vector) { math.difference(a, 0.37, b, a); });
  expect_same([](M math, Vector a, Vector b, Vector) { math.pull(a, {b, 0.37}); });
  expect_same([](M math, Vector a, Vector, Vector) { math.pull(a, {a, 0.37}); });
  expect_same([](M math, Vector a, Vector b, Vector c) {
    const ConstVector all[] = {b, a, c};
    math.mean(a, all);
  });
  for (const Momentum form : kForms)
    expect_same(
        [form](M math, Vector a, Vector b, Vector) { math.look_ahead({.form = form}, a, b); });
}

TEST_F(VectorMathOnGpu, UpdatesAreTheCpusBitForBit) {
  for (const Momentum form : kForms)
    for (std::size_t pulls = 0; pulls <= 6; ++pulls)
      everywhere([&](std::size_t count, std::size_t offset) {
        if (count > 10'000 && pulls != 2) return;
        const Sgd sgd{
            .learning_rate = 0.3, .weight_decay = 0.01, .form = form, .gradient_scale = 0.7};
        auto x = random_floats(count, 0), m = random_floats(count, 1);
        const auto g = random_floats(count, 2), leader = random_floats(count, 3);
        const OnGpu gpu_x(x, offset), gpu_m(m), gpu_g(g, offset), gpu_leader(leader);
        std::vector<Pull> here, there;
        for (std::size_t k = 0; k < pulls; ++k) {
          const double strength = 0.1 + 0.1 * double(k);
          // The third leader is x itself: a pull that must change nothing.
          here.push_back({k == 2 ? ConstVector(view(x)) : view(leader), strength});
          there.push_back({k == 2 ? gpu_x.view() : gpu_leader.view(), strength});
        }
        cpu().update(sgd, view(x), view(m), view(g), here);
        math_->update(sgd, gpu_x.view(), gpu_m.view(), gpu_g.view(), there);
        EXPECT_EQ(gpu_x.get(), x);
        EXPECT_EQ(gpu_m.get(), m);
      });
}

TEST_F(VectorMathOnGpu, UpdatesLeaveUndecayedRangesAlone) {
  std::vector<ElementRange> many;  // more than one launch takes
  for (std::size_t i = 0; i < 1000; ++i) many.push_back({5 * i + i % 3, 1 + i % 2});
  const std::vector<std::vector<ElementRange>> all = {
      {{0, 1}}, {{4990, 100}}, {{16, 0}, {16, 32}, {48, 16}, {1023, 1}, {2100, 2000}}, many};
  for (const auto& ranges : all) {
    auto x = random_floats(5000, 0), m = random_floats(5000, 1);
    const auto g = random_floats(5000, 2), leader = random_floats(5000, 3);
    const OnGpu gpu_x(x), gpu_m(m), gpu_g(g), gpu_leader(leader);
    const Sgd sgd{.weight_decay = 0.2, .undecayed = ranges};
    const Pull here[] = {{view(leader), 0.3}}, there[] = {{gpu_leader.view(), 0.3}};
    cpu().update(sgd, view(x), view(m), view(g), here);
    math_->update(sgd, gpu_x.view(), gpu_m.view(), gpu_g.view(), there);
    EXPECT_EQ(gpu_x.get(), x);
    EXPECT_EQ(gpu_m.get(), m);
  }
}

TEST_F(VectorMathOnGpu, SumsAreThoseOfTheCpuButForTheirOrder) {
  everywhere([&](std::size_t count, std::size_t offset) {
    auto x = random_floats(count, 0);
    const auto y = random_floats(count, 1);
    const OnGpu gpu_x(x, offset), gpu_y(y), aligned(x);
    const double norm = cpu().norm_squared(view(x)),
                 distance = cpu().distance_squared(view(x), view(y));
    EXPECT_NEAR(math_->norm_squared(gpu_x.view()), norm, 1e-12 * norm);
    EXPECT_NEAR(math_->distance_squared(gpu_x.view(), gpu_y.view()), distance, 1e-12 * distance);
    EXPECT_EQ(math_->norm_squared(gpu_x.view()), math_->norm_squared(aligned.view()));
    EXPECT_TRUE(math_->finite(gpu_x.view()));
    if (count == 0) return;
    for (const float bad : {HUGE_VALF, -HUGE_VALF, std::nanf("")})
      for (const std::size_t place : {std::size_t{0}, count / 2, count - 1}) {
        x[place] = bad;
        const OnGpu not_finite(x, offset);
        EXPECT_FALSE(math_->finite(not_finite.view()));
        EXPECT_FALSE(std::isfinite(math_->norm_squared(not_finite.view())));
        x[place] = 0;
      }
  });
  const OnGpu large(std::vector<float>(100, 1e30f));
  EXPECT_NEAR(math_->norm_squared(large.view()), 1e62, 1e56);
}

TEST_F(VectorMathOnGpu, CodesAreTheCpusByteForByteButForTheNormsLastBits) {
  for (const CodeNorm norm : {CodeNorm::two, CodeNorm::infinity})
    everywhere([&](std::size_t count, std::size_t offset) {
      const auto v = random_floats(count, 0);
      const OnGpu gpu_v(v, offset);
      Rng rng(7), gpu_rng(7);
      std::vector<std::byte> code(cpu().code_bytes(count)), gpu_code(math_->code_bytes(count));
      cpu().encode(code, view(v), norm, rng);
      math_->encode(gpu_code, gpu_v.view(), norm, gpu_rng);
      EXPECT_EQ(rng.state(), gpu_rng.state());
      if (norm == CodeNorm::infinity) {
        EXPECT_EQ(code, gpu_code);
      } else {
        ASSERT_EQ(code.size(), gpu_code.size());
        double scale = 0, gpu_scale = 0;
        std::memcpy(&scale, code.data(), sizeof scale);
        std::memcpy(&gpu_scale, gpu_code.data(), sizeof gpu_scale);
        EXPECT_NEAR(scale, gpu_scale, 1e-12 * scale);
        std::size_t different = 0;
        for (std::size_t i = 8; i < code.size(); ++i) different += code[i] != gpu_code[i];
        EXPECT_LE(different, 1u);  // a draw that falls on the border
      }
      // Decoding, from host memory and the GPU's, at an odd address.
      auto y = random_floats(count, 1);
      const OnGpu gpu_y(y, offset), other_y(y, offset);
      const OnGpu on_gpu(code, 1);
      cpu().add_decoded(view(y), -0.3, code);
      math_->add_decoded(gpu_y.view(), -0.3, code);
      EXPECT_EQ(gpu_y.get(), y);
      math_->add_decoded(other_y.view(), -0.3, {on_gpu.data(), code.size()});
      EXPECT_EQ(other_y.get(), y);
      // Encoding into the GPU's memory.
      Rng again(7);
      const OnGpu filled(std::vector<std::byte>(code.size()), 1);
      math_->encode({filled.data(), code.size()}, gpu_v.view(), norm, again);
      EXPECT_EQ(filled.get(), gpu_code);
    });
  auto bad = random_floats(100, 0);
  bad[50] = HUGE_VALF;
  const OnGpu gpu_bad(bad);
  Rng rng(1);
  std::vector<std::byte> code(math_->code_bytes(100));
  math_->encode(code, gpu_bad.view(), CodeNorm::two, rng);
  const OnGpu decoded(std::vector<float>(100, 0.0f));
  math_->add_decoded(decoded.view(), 1, code);
  for (const float e : decoded.get()) EXPECT_TRUE(std::isnan(e));
}

TEST_F(VectorMathOnGpu, PageableAndPinnedOperandsAreReadyOnReturn) {
  const std::size_t count = 100'003;
  const Sgd sgd{.weight_decay = 0.01};
  auto x = random_floats(count, 0), m = random_floats(count, 1), y = random_floats(count, 4);
  const auto g = random_floats(count, 2), leader = random_floats(count, 3);
  const OnGpu gpu_x(x), gpu_g(g), gpu_leader(leader);
  auto pageable_m = m;
  const Pinned pinned_leader(leader), pinned_y(y);
  const Pull here[] = {{view(leader), 0.3}, {view(leader), 0.2}};
  const Pull there[] = {{pinned_leader.view(), 0.3}, {view(leader), 0.2}};
  cpu().update(sgd, view(x), view(m), view(g), here);
  math_->update(sgd, gpu_x.view(), view(pageable_m), gpu_g.view(), there);
  EXPECT_EQ(pageable_m, m);
  EXPECT_EQ(gpu_x.get(), x);

  cpu().pull(view(y), {view(leader), 0.5});
  math_->pull(pinned_y.view(), {gpu_leader.view(), 0.5});
  EXPECT_EQ(pinned_y.get(), y);

  std::vector<float> copied(count);
  math_->copy(view(copied), gpu_x.view());
  EXPECT_EQ(copied, x);
  math_->copy(pinned_y.view(), gpu_leader.view());
  EXPECT_EQ(pinned_y.get(), leader);
  math_->copy(gpu_leader.view(), view(g));
  EXPECT_EQ(gpu_leader.get(), g);

  EXPECT_EQ(math_->finite(view(g)), true);
  EXPECT_NEAR(math_->norm_squared(view(g)), cpu().norm_squared(view(g)), 1e-6);
}

TEST_F(VectorMathOnGpu, TheMeanTakesAnyMemoryPartByPart) {
  const std::size_t count = (std::size_t{4} << 20) + 4099;  // more than one part
  const auto a = random_floats(count, 0), c = random_floats(count, 2);
  auto b = random_floats(count, 1), wanted = b;
  const OnGpu gpu_a(a);
  const Pinned pinned_c(c);
  const ConstVector here[] = {view(a), view(std::as_const(wanted)), view(c)};
  const ConstVector there[] = {gpu_a.view(), view(std::as_const(b)), pinned_c.view()};
  cpu().mean(view(wanted), here);
  math_->mean(view(b), there);
  EXPECT_EQ(b, wanted);
}

TEST_F(VectorMathOnGpu, ACopyBesideOtherWorkIsOfTheVectorAsItWas) {
  const std::size_t count = 3'000'001;
  const auto x = random_floats(count, 0), z = random_floats(count, 1);
  const OnGpu gpu_x(x), gpu_z(z);
  const Pinned to_host(std::vector<float>(count, 0.0f));
  const OnGpu to_gpu(std::vector<float>(count, 0.0f));
  for (int turn = 0; turn < 3; ++turn) {  // from the second on, nothing is allocated
    math_->copy(gpu_x.view(), gpu_z.view());
    math_->copy(gpu_x.view(), view(x));
    auto pending = math_->begin_copy(to_host.view(), gpu_x.view());
    auto beside = math_->begin_copy(to_gpu.view(), gpu_x.view());
    ASSERT_NE(pending, nullptr);
    ASSERT_NE(beside, nullptr);
    math_->fill(gpu_x.view(), 0);
    while (!pending->done()) std::this_thread::yield();
    EXPECT_EQ(to_host.get(), x);
    std::thread([moved = std::move(beside)]() mutable { moved.reset(); }).join();  // waits
    EXPECT_EQ(to_gpu.get(), x);
    math_->fill(to_gpu.view(), 0);
  }
  std::vector<float> pageable(count);
  EXPECT_EQ(math_->begin_copy(view(pageable), gpu_z.view()), nullptr);  // done at once
  EXPECT_EQ(pageable, z);
}

TEST_F(VectorMathOnGpu, AnUpdateReadsA16BitGradientAndWrites16BitWeights) {
  const std::size_t count = 10'007;
  const auto g16 = test::stored<Bf16>(random_floats(count, 2));
  std::vector<float> rounded(count);
  for (std::size_t i = 0; i < count; ++i) rounded[i] = to_float(g16[i]);
  for (const Momentum form : kForms)
    for (const std::size_t pulls : {0, 2, 6}) {
      auto x = random_floats(count, 0), m = random_floats(count, 1);
      const auto leader = random_floats(count, 3);
      const OnGpu gpu_x(x), gpu_m(m), gpu_leader(leader);
      const OnGpu gpu_g(std::vector<float>(count, 1e9f));  // stale
      Twin& gradient = twins_.of(gpu_g.data(), count);
      Twin& weights = twins_.of(gpu_x.data(), count);
      ASSERT_EQ(cudaMemcpy(gradient.bf16, g16.data(), count * sizeof(Bf16), cudaMemcpyHostToDevice),
                cudaSuccess);
      gradient.f32_fresh = false, gradient.bf16_fresh = true;
      const std::vector<Pull> here(pulls, Pull{view(leader), 0.3}),
          there(pulls, Pull{gpu_leader.view(), 0.3});
      const Sgd sgd{.weight_decay = 0.01, .form = form};
      cpu().update(sgd, view(x), view(m), view(rounded), here);
      math_->update(sgd, gpu_x.view(), gpu_m.view(), gpu_g.view(), there);
      EXPECT_EQ(gpu_x.get(), x);
      EXPECT_EQ(gpu_m.get(), m);
      EXPECT_FALSE(gradient.f32_fresh);
      EXPECT_EQ(weights.bf16_fresh, pulls <= std::size_t(UpdateElement<float>::kMostPulls));
      twins_.refresh_bf16(cudaStreamPerThread, weights);
      std::vector<Bf16> x16(count);
      ASSERT_EQ(cudaStreamSynchronize(cudaStreamPerThread), cudaSuccess);
      ASSERT_EQ(cudaMemcpy(x16.data(), weights.bf16, count * sizeof(Bf16), cudaMemcpyDeviceToHost),
                cudaSuccess);
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(x16[i].bits, to_bf16(x[i]).bits);
      // Whoever else reads the gradient gets it in f32; whoever writes the weights makes the twin stale.
      std::vector<float> read(count);
      math_->copy(view(read), gpu_g.view());
      EXPECT_EQ(read, rounded);
      EXPECT_TRUE(gradient.f32_fresh);
      math_->scale(gpu_x.view(), 2);
      EXPECT_FALSE(weights.bf16_fresh);
      twins_.forget(gpu_g.data());
      twins_.forget(gpu_x.data());
      EXPECT_EQ(twins_.find(gpu_x.data()), nullptr);
    }
}

}  // namespace
}  // namespace paceline::cuda
