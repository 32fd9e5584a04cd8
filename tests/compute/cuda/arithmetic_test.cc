// What the GPU's kernels do to an element of a flat vector, against the CPU's algebra, bit for bit; and
// numbers: bf16, splitmix64 by position, dropout's masks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "compute/cuda/host_loops.h"
#include "paceline/compute/cuda/code_arithmetic_internal.h"
#include "paceline/compute/cuda/dropout_arithmetic_internal.h"
#include "paceline/compute/cuda/update_arithmetic_internal.h"
#include "paceline/compute/dropout_mask_internal.h"
#include "paceline/compute/vector_math.h"

namespace paceline::cuda {
namespace {

using test::random_floats;

constexpr Momentum kForms[] = {Momentum::none, Momentum::heavy_ball, Momentum::nesterov,
                               Momentum::sutskever};
const VectorMath& cpu() { return vector_math_f32(); }
Vector view(std::vector<float>& v) { return {v.data(), v.size()}; }
ConstVector view(const std::vector<float>& v) { return {v.data(), v.size()}; }

TEST(Bf16, RoundsToNearestAndTiesToEven) {
  Rng rng(1);
  const auto value_of = [](std::uint32_t upper) { return double(float_of(upper << 16)); };
  for (int trial = 0; trial < 200'000; ++trial) {
    std::uint32_t bits = static_cast<std::uint32_t>(rng.next());
    if (trial % 4 == 0) bits = (bits & 0xffff0000u) | 0x8000u;  // a tie
    const float value = float_of(bits);
    if (!std::isfinite(value)) continue;
    const std::uint32_t down = bits >> 16, up = down + 1;  // by magnitude
    if (!std::isfinite(value_of(up))) continue;
    const double to_down = std::abs(double(value) - value_of(down));
    const double to_up = std::abs(double(value) - value_of(up));
    const std::uint32_t wanted = to_down < to_up   ? down
                                 : to_up < to_down ? up
                                                   : (down % 2 == 0 ? down : up);
    ASSERT_EQ(to_bf16(value).bits, wanted) << value;
  }
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(to_float(to_bf16(inf)), inf);
  EXPECT_EQ(to_float(to_bf16(-inf)), -inf);
  EXPECT_EQ(to_float(to_bf16(std::numeric_limits<float>::max())), inf);
  EXPECT_EQ(to_bf16(std::nanf("")).bits, 0x7fff);
  EXPECT_EQ(to_bf16(-0.0f).bits, 0x8000);
}

TEST(Splitmix, AnyPositionIsThatOfTheStream) {
  for (std::uint64_t seed : {0ull, 1ull, 0xffffffffffffffffull}) {
    for (std::uint64_t stream : {0ull, 3ull, 1ull << 40}) {
      Rng rng(seed, stream);
      EXPECT_EQ(splitmix_stream(seed, stream), rng.state());
      const std::uint64_t state = rng.state();
      for (std::size_t k = 0; k < 100; ++k) ASSERT_EQ(splitmix_at(state, k), rng.next());
      EXPECT_EQ(state + 100 * kSplitmixStep, rng.state());
      ASSERT_EQ(splitmix_uniform_at(state, 100), rng.uniform());
    }
  }
}

template <class T, int V>
void expect_dropout(double probability, bool add) {
  const std::size_t count = 1003;
  const std::uint64_t seed = 77;
  const auto x = test::stored<T>(random_floats(count, 0));
  auto y = test::stored<T>(random_floats(count, 1)), wanted = y;
  DropoutMask mask(seed, 5, probability);
  for (std::size_t i = 0; i < count; ++i)
    test::assign(wanted[i], (add ? to_float(wanted[i]) : 0.0f) + to_float(x[i]) * mask.next());
  test::each_element<V>(
      DropoutElement<T>{x.data(), y.data(), &seed, 5, DropoutFactors(probability), add}, count);
  for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(to_float(y[i]), to_float(wanted[i])) << i;
}
TEST(DropoutElement, TakesTheMaskThatAllDevicesShare) {
  for (const double probability : {0.0, 0.1, 0.5, 0.9})
    for (const bool add : {false, true}) {
      expect_dropout<float, 1>(probability, add);
      expect_dropout<float, kPack>(probability, add);
      expect_dropout<Bf16, kPack>(probability, add);
    }
}

/// The GPU's update as its launches would do it.
template <int V, class G>
void update(const Sgd& sgd, std::vector<float>& x, std::vector<float>& m, const std::vector<G>& g,
            std::span<const Pull> pulls, Bf16* x16) {
  std::span<const ElementRange> ranges = sgd.undecayed;
  for (std::size_t begin = 0; begin < x.size();) {
    UpdateElement<G> element{.form = sgd.form, .constants = StepConstants(sgd)};
    const std::size_t end = take_ranges(element.undecayed, ranges, begin, x.size());
    ASSERT_GT(end, begin);
    element.x = x.data() + begin;
    element.m = sgd.form == Momentum::none ? nullptr : m.data() + begin;
    element.g = g.data() + begin;
    element.x16 = x16 == nullptr ? nullptr : x16 + begin;
    element.pulls = static_cast<int>(pulls.size());
    for (std::size_t p = 0; p < pulls.size(); ++p) {
      element.leaders[p] = static_cast<const float*>(pulls[p].leader.data) + begin;
      element.strengths[p] = static_cast<float>(pulls[p].strength);
    }
    test::each_element<V>(element, end - begin);
    begin = end;
  }
}

class Updates : public testing::TestWithParam<Momentum> {};

TEST_P(Updates, AreThoseOfTheCpuBitForBit) {
  for (const std::size_t count : {0, 1, 7, 1024, 3001})
    for (std::size_t pulls = 0; pulls <= 4; ++pulls) {
      std::vector<std::vector<float>> leaders;
      std::vector<Pull> all;
      for (std::size_t k = 0; k < pulls; ++k) leaders.push_back(random_floats(count, 10 + k));
      for (std::size_t k = 0; k < pulls; ++k)
        all.push_back({view(std::as_const(leaders[k])), 0.1 + 0.2 * double(k)});
      const Sgd sgd{.learning_rate = 0.3,
                    .momentum = 0.9,
                    .weight_decay = 0.013,
                    .form = GetParam(),
                    .gradient_scale = 0.37};
      const auto g = random_floats(count, 2), x0 = random_floats(count, 0),
                 m0 = random_floats(count, 1);
      auto x1 = x0, m1 = m0;
      cpu().update(sgd, view(x1), view(m1), view(g), all);
      auto x2 = x0, m2 = m0, x3 = x0, m3 = m0;
      std::vector<Bf16> x16(count);
      update<kQuad>(sgd, x2, m2, g, all, x16.data());
      update<1>(sgd, x3, m3, g, all, nullptr);
      EXPECT_EQ(x1, x2);
      EXPECT_EQ(m1, m2);
      EXPECT_EQ(x1, x3);
      EXPECT_EQ(m1, m3);
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(x16[i].bits, to_bf16(x1[i]).bits);
    }
}

TEST_P(Updates, TakeConstantsThatLieInMemoryAsTheyAreThen) {
  const std::size_t count = 1003;
  const auto g = random_floats(count, 2);
  auto x1 = random_floats(count, 0), m1 = random_floats(count, 1), x2 = x1, m2 = m1;
  const std::vector<ElementRange> undecayed{{0, 5}, {600, 100}};
  Sgd sgd{.form = GetParam(), .undecayed = undecayed};
  StepConstants live(Sgd{.learning_rate = 7, .momentum = 7, .weight_decay = 7});
  UpdateElement<float> captured{.form = GetParam(),
                                .constants = StepConstants(Sgd{.learning_rate = 9})};
  captured.x = x2.data();
  captured.m = GetParam() == Momentum::none ? nullptr : m2.data();
  captured.g = g.data();
  captured.live = &live;
  std::span<const ElementRange> ranges = undecayed;
  ASSERT_EQ(take_ranges(captured.undecayed, ranges, 0, count), count);
  for (const double rate : {0.3, 0.01, 0.02}) {
    sgd.learning_rate = rate;
    sgd.momentum = 0.9 - rate;
    sgd.weight_decay = 0.1 * rate;
    cpu().update(sgd, view(x1), view(m1), view(g), {});
    live = StepConstants(sgd);
    test::each_element<kQuad>(captured, count);
    EXPECT_EQ(x1, x2);
    EXPECT_EQ(m1, m2);
  }
}

TEST_P(Updates, OfA16BitGradientAreThoseOfTheRoundedOne) {
  const std::size_t count = 1003;
  const auto g16 = test::stored<Bf16>(random_floats(count, 2));
  std::vector<float> rounded(count);
  for (std::size_t i = 0; i < count; ++i) rounded[i] = to_float(g16[i]);
  auto x1 = random_floats(count, 0), m1 = random_floats(count, 1), x2 = x1, m2 = m1;
  const Sgd sgd{.form = GetParam()};
  cpu().update(sgd, view(x1), view(m1), view(rounded), {});
  update<kQuad>(sgd, x2, m2, g16, {}, nullptr);
  EXPECT_EQ(x1, x2);
  EXPECT_EQ(m1, m2);
}

TEST_P(Updates, LeaveUndecayedRangesAlone) {
  std::vector<ElementRange> many;  // more than a launch takes
  for (std::size_t i = 0; i < 1000; ++i) many.push_back({5 * i + i % 3, 1 + i % 2});
  std::vector<ElementRange> adjacent;
  for (std::size_t i = 0; i < 500; ++i) adjacent.push_back({3 * i, 3});
  const std::vector<std::vector<ElementRange>> all = {
      {{0, 1}},
      {{0, 5000}},
      {{4999, 1}},
      {{4990, 100}},
      {{16, 0}, {16, 32}, {48, 16}, {1000, 48}, {1024, 1024}, {2100, 2000}},
      {{1023, 1}, {1024, 1}, {2047, 2}},
      {{100, std::numeric_limits<std::size_t>::max() - 100}},
      {{6000, 5}},
      many,
      adjacent};
  for (const auto& ranges : all) {
    auto x1 = random_floats(5000, 0), m1 = random_floats(5000, 1), x2 = x1, m2 = m1, x3 = x1,
         m3 = m1;
    const auto g = random_floats(5000, 2);
    const Sgd sgd{.weight_decay = 0.2, .form = GetParam(), .undecayed = ranges};
    cpu().update(sgd, view(x1), view(m1), view(g), {});
    update<kQuad>(sgd, x2, m2, g, {}, nullptr);
    update<1>(sgd, x3, m3, g, {}, nullptr);
    EXPECT_EQ(x1, x2);
    EXPECT_EQ(m1, m2);
    EXPECT_EQ(x1, x3);
  }
}
INSTANTIATE_TEST_SUITE_P(Forms, Updates, testing::ValuesIn(kForms));

template <int V>
void expect_simple_operations() {
  const std::size_t count = 1003;
  const auto x = random_floats(count, 0), z = random_floats(count, 1);
  const float a = static_cast<float>(0.37);
  auto y1 = random_floats(count, 2), y2 = y1;
  cpu().axpy(view(y1), 0.37, view(x));
  test::each_element<V>(AxpyElement{y2.data(), a, x.data()}, count);
  EXPECT_EQ(y1, y2);
  cpu().scale(view(y1), 0.37);
  test::each_element<V>(ScaleElement{y2.data(), a}, count);
  EXPECT_EQ(y1, y2);
  cpu().pull(view(y1), {view(x), 0.37});
  test::each_element<V>(PullElement{y2.data(), a, x.data()}, count);
  EXPECT_EQ(y1, y2);
  cpu().difference(view(y1), 0.37, view(x), view(z));
  test::each_element<V>(DifferenceElement{y2.data(), a, x.data(), z.data()}, count);
  EXPECT_EQ(y1, y2);
  auto v1 = z, v2 = z;
  cpu().look_ahead({.momentum = 0.37, .form = Momentum::sutskever}, view(y1), view(v1));
  test::each_element<V>(LookAheadElement{a, y2.data(), v2.data()}, count);
  EXPECT_EQ(y1, y2);
  EXPECT_EQ(v1, v2);
  const ConstVector all[] = {view(x), view(std::as_const(y1)), view(z)};
  MeanElement mean;
  mean.y = y2.data();
  mean.count = 3;
  mean.xs[0] = x.data(), mean.xs[1] = y2.data(), mean.xs[2] = z.data();
  cpu().mean(view(y1), all);
  test::each_element<V>(mean, count);
  EXPECT_EQ(y1, y2);
  cpu().fill(view(y1), 0.1);
  test::each_element<V>(FillElement{y2.data(), static_cast<float>(0.1)}, count);
  EXPECT_EQ(y1, y2);
}
TEST(VectorElements, AreThoseOfTheCpuBitForBit) {
  expect_simple_operations<1>();
  expect_simple_operations<kQuad>();
}

TEST(Codes, AreTheCpusByteForByte) {
  for (const CodeNorm norm : {CodeNorm::two, CodeNorm::infinity})
    for (const std::size_t count : {0, 1, 5, 1003}) {
      auto v = random_floats(count, 3);
      if (count > 100) v[7] = 0, v[8] = -0.0f;
      for (const bool finite : {true, false}) {
        if (!finite && count == 0) continue;
        if (!finite) v[count / 2] = std::numeric_limits<float>::infinity();
        Rng rng(9, 1);
        const std::uint64_t state = rng.state();
        std::vector<std::byte> wanted(cpu().code_bytes(count));
        cpu().encode(wanted, view(std::as_const(v)), norm, rng);
        EXPECT_EQ(state + count * kSplitmixStep, rng.state());

        VectorSums sums;
        for (const float e : v) add_element(sums, double(e), e);
        const double scale = code_scale(sums, norm == CodeNorm::infinity);
        const std::uint64_t header_count = count;
        std::vector<std::byte> code(kCodeHeader + (count + 3) / 4);
        std::memcpy(code.data(), &scale, sizeof scale);
        std::memcpy(code.data() + sizeof scale, &header_count, sizeof header_count);
        for (std::size_t i = 0; i < count; ++i)
          code[kCodeHeader + i / 4] |=
              static_cast<std::byte>(code_of(v[i], i, scale, state) << (2 * (i % 4)));
        EXPECT_EQ(code, wanted);

        auto y1 = random_floats(count, 4), y2 = y1;
        cpu().add_decoded(view(y1), -0.7, wanted);
        const float step = static_cast<float>(-0.7 * scale);
        for (std::size_t i = 0; i < count; ++i)
          y2[i] += added_by(
              std::to_integer<unsigned>(code[kCodeHeader + i / 4]) >> (2 * (i % 4)) & 3u, step);
        for (std::size_t i = 0; i < count; ++i)
          if (finite)
            ASSERT_EQ(bits_of(y1[i]), bits_of(y2[i]));
          else
            ASSERT_TRUE(std::isnan(y1[i]) && std::isnan(y2[i]));
      }
    }
}

TEST(VectorSums, SeeWhatIsNotFinite) {
  for (const float bad : {HUGE_VALF, -HUGE_VALF, std::nanf("")}) {
    VectorSums sums;
    add_element(sums, 1, 1);
    add_element(sums, double(std::numeric_limits<float>::max()), std::numeric_limits<float>::max());
    EXPECT_EQ(sums.bad, 0u);
    VectorSums other;
    add_element(other, double(bad), bad);
    add_sums(sums, other);
    EXPECT_EQ(sums.bad, 1u);
    EXPECT_FALSE(std::isfinite(sums.squares));
  }
}

}  // namespace
}  // namespace paceline::cuda
