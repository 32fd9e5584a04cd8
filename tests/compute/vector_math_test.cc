// The laws of vector_math.h (VM-1 to VM-3), for both scalar types.
#include "paceline/compute/vector_math.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace paceline {
namespace {

constexpr Momentum kForms[] = {Momentum::none, Momentum::heavy_ball, Momentum::nesterov,
                               Momentum::sutskever};

template <class T>
class VectorMathOf : public testing::Test {
 protected:
  const VectorMath& math() const {
    return std::is_same_v<T, float> ? vector_math_f32() : vector_math_f64();
  }
  static std::vector<T> random(std::size_t count, std::uint64_t stream) {
    Rng rng(42, stream);
    std::vector<T> v(count);
    for (T& e : v) e = static_cast<T>(rng.normal());
    return v;
  }
  static Vector view(std::vector<T>& v) { return {v.data(), v.size()}; }
  static ConstVector view(const std::vector<T>& v) { return {v.data(), v.size()}; }
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(VectorMathOf, Scalars);

TYPED_TEST(VectorMathOf, FusedUpdateEqualsSeparatePassesBitForBit) {
  for (const std::size_t count : {0, 1, 15, 1024, 1025, 5000})
    for (const Momentum form : kForms)
      for (std::size_t pulls = 0; pulls <= 4; ++pulls) {
        std::vector<std::vector<TypeParam>> leaders;
        std::vector<Pull> fused;
        for (std::size_t k = 0; k < pulls; ++k) leaders.push_back(this->random(count, 10 + k));
        for (std::size_t k = 0; k < pulls; ++k)
          fused.push_back({this->view(std::as_const(leaders[k])), 0.1 + 0.2 * double(k)});
        const Sgd sgd{.learning_rate = 0.3, .momentum = 0.9, .weight_decay = 0.01, .form = form};
        const auto g = this->random(count, 2);
        auto x1 = this->random(count, 0), m1 = this->random(count, 1), x2 = x1, m2 = m1;
        this->math().update(sgd, this->view(x1), this->view(m1), this->view(g), fused);
        this->math().update(sgd, this->view(x2), this->view(m2), this->view(g), {});
        for (const Pull& pull : fused) this->math().pull(this->view(x2), pull);
        EXPECT_EQ(x1, x2);
        EXPECT_EQ(m1, m2);
      }
}

TYPED_TEST(VectorMathOf, UpdatesFollowTheirFormulas) {
  using T = TypeParam;
  const T eta = static_cast<T>(0.3), delta = static_cast<T>(0.9), decay = static_cast<T>(0.01);
  const std::size_t count = 37;
  const auto x0 = this->random(count, 0), m0 = this->random(count, 1), g0 = this->random(count, 2);
  for (const Momentum form : kForms) {
    auto x = x0, m = m0;
    this->math().update({.learning_rate = 0.3, .momentum = 0.9, .weight_decay = 0.01, .form = form},
                        this->view(x), this->view(m), this->view(g0), {});
    for (std::size_t i = 0; i < count; ++i) {
      const T g = g0[i] + decay * x0[i];
      const T grown = delta * m0[i] + g;
      switch (form) {
        case Momentum::none:
          EXPECT_EQ(x[i], x0[i] - eta * g);
          EXPECT_EQ(m[i], m0[i]);
          break;
        case Momentum::heavy_ball:
          EXPECT_EQ(x[i], x0[i] - eta * grown);
          EXPECT_EQ(m[i], grown);
          break;
        case Momentum::nesterov:
          EXPECT_EQ(x[i], x0[i] - eta * (g + delta * grown));
          EXPECT_EQ(m[i], grown);
          break;
        case Momentum::sutskever:
          EXPECT_EQ(x[i], x0[i] - eta * g);
          EXPECT_EQ(m[i], m0[i] - eta * g);
          break;
      }
    }
  }
}

TYPED_TEST(VectorMathOf, AScaledGradientIsThatOfSeparatePassesBitForBit) {
  for (const Momentum form : kForms) {
    const std::size_t count = 3000;
    const auto g = this->random(count, 2), leader = this->random(count, 3);
    auto x1 = this->random(count, 0), m1 = this->random(count, 1), x2 = x1, m2 = m1;
    const Pull pulls[] = {{this->view(leader), 0.3}};
    Sgd sgd{.learning_rate = 0.3, .weight_decay = 0.01, .form = form, .gradient_scale = 0.37};
    this->math().update(sgd, this->view(x1), this->view(m1), this->view(g), pulls);
    auto scaled = g;
    this->math().scale(this->view(scaled), 0.37);
    sgd.gradient_scale = 1;
    this->math().update(sgd, this->view(x2), this->view(m2), this->view(scaled), {});
    this->math().pull(this->view(x2), pulls[0]);
    EXPECT_EQ(x1, x2);
    EXPECT_EQ(m1, m2);
  }
}

TYPED_TEST(VectorMathOf, UndecayedRangesAreThoseOfSeparatePassesBitForBit) {
  // Borders within blocks and across them, next to each other, empty, at both ends and beyond.
  const std::vector<std::vector<ElementRange>> all = {
      {{0, 1}},
      {{0, 5000}},
      {{4999, 1}},
      {{4990, 100}},
      {{16, 0}, {16, 32}, {48, 16}, {1000, 48}, {1024, 1024}, {2100, 2000}},
      {{1023, 1}, {1024, 1}, {2047, 2}}};
  for (const Momentum form : kForms)
    for (const auto& ranges : all) {
      const std::size_t count = 5000;
      const auto g = this->random(count, 2), leader = this->random(count, 3);
      auto x1 = this->random(count, 0), m1 = this->random(count, 1), x2 = x1, m2 = m1;
      const Pull pulls[] = {{this->view(leader), 0.3}};
      Sgd sgd{.learning_rate = 0.3, .weight_decay = 0.2, .form = form, .undecayed = ranges};
      this->math().update(sgd, this->view(x1), this->view(m1), this->view(g), pulls);
      sgd.undecayed = {};
      for (std::size_t i = 0; i < count; ++i) {
        sgd.weight_decay = std::ranges::any_of(ranges,
                                               [i](const ElementRange& r) {
                                                 return i >= r.first && i < r.first + r.count;
                                               })
                               ? 0
                               : 0.2;
        this->math().update(sgd, {&x2[i], 1}, {&m2[i], 1}, {&g[i], 1}, {});
      }
      this->math().pull(this->view(x2), pulls[0]);
      EXPECT_EQ(x1, x2);
      EXPECT_EQ(m1, m2);
    }
}

TYPED_TEST(VectorMathOf, PlainSgdNeedsNoMomentumVector) {
  auto x = this->random(9, 0), wanted = x;
  const auto g = this->random(9, 1);
  const Sgd sgd{.learning_rate = 0.5, .weight_decay = 0, .form = Momentum::none};
  this->math().update(sgd, this->view(x), {}, this->view(g), {});
  for (std::size_t i = 0; i < x.size(); ++i) wanted[i] -= TypeParam(0.5) * g[i];
  EXPECT_EQ(x, wanted);
}

TYPED_TEST(VectorMathOf, LookAheadMovesOnlyTheSutskeverForm) {
  for (const Momentum form : kForms) {
    auto x = this->random(40, 0), v = this->random(40, 1);
    const auto x0 = x, v0 = v;
    this->math().look_ahead({.momentum = 0.5, .form = form}, this->view(x), this->view(v));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const bool moves = form == Momentum::sutskever;
      EXPECT_EQ(v[i], moves ? v0[i] * TypeParam(0.5) : v0[i]);
      EXPECT_EQ(x[i], moves ? x0[i] + v[i] : x0[i]);
    }
  }
}

TYPED_TEST(VectorMathOf, PullTowardsAnEqualLeaderChangesNothing) {
  auto x = this->random(3000, 0);
  const auto before = x, leader = x;
  this->math().pull(this->view(x), {this->view(leader), 0.3});
  EXPECT_EQ(x, before);
  this->math().pull(this->view(x), {this->view(std::as_const(x)), 0.3});  // VM-3: the same vector
  EXPECT_EQ(x, before);
}

TYPED_TEST(VectorMathOf, FullPullArrivesAtTheLeader) {
  auto x = this->random(100, 0);
  const auto leader = this->random(100, 1);
  this->math().pull(this->view(x), {this->view(leader), 1.0});
  for (std::size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(x[i], leader[i], 8 * std::numeric_limits<TypeParam>::epsilon());
}

TYPED_TEST(VectorMathOf, ElementsDependOnlyOnThemselves) {
  // The same values at another alignment and in another vector length (VM-2).
  const auto x0 = this->random(4000, 0), m0 = this->random(4000, 1), g0 = this->random(4000, 2);
  auto x1 = x0, m1 = m0, x2 = x0, m2 = m0;
  const Sgd sgd;
  this->math().update(sgd, this->view(x1), this->view(m1), this->view(g0), {});
  for (std::size_t first = 0; first < x2.size();) {
    const std::size_t count = std::min<std::size_t>(first % 7 + 1, x2.size() - first);
    this->math().update(sgd, {x2.data() + first, count}, {m2.data() + first, count},
                        {g0.data() + first, count}, {});
    first += count;
  }
  EXPECT_EQ(x1, x2);
  EXPECT_EQ(m1, m2);
}

TYPED_TEST(VectorMathOf, SimpleOperationsDoWhatTheySay) {
  auto y = this->random(2100, 0);
  const auto y0 = y, x = this->random(2100, 1);
  std::vector<TypeParam> d(y.size());
  const VectorMath& math = this->math();
  math.axpy(this->view(y), 2, this->view(x));
  math.difference(this->view(d), 0.5, this->view(x), this->view(y0));
  for (std::size_t i = 0; i < y.size(); ++i) {
    ASSERT_EQ(y[i], y0[i] + 2 * x[i]);
    ASSERT_EQ(d[i], TypeParam(0.5) * (x[i] - y0[i]));
  }
  math.copy(this->view(y), this->view(y0));
  math.scale(this->view(y), -3);
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], -3 * y0[i]);
  math.fill(this->view(y), 1.5);
  EXPECT_THAT(y, testing::Each(TypeParam(1.5)));
  EXPECT_EQ(math.bytes(7), 7 * sizeof(TypeParam));
}

TYPED_TEST(VectorMathOf, MeanSumsInTheOrderGivenAndMayBeOneOfThem) {
  auto a = this->random(2500, 0), b = this->random(2500, 1);
  const auto a0 = a, c = this->random(2500, 2);
  const ConstVector all[] = {this->view(std::as_const(b)), this->view(std::as_const(a)),
                             this->view(c)};
  this->math().mean(this->view(a), all);
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a[i], (b[i] + a0[i] + c[i]) / 3);
}

TYPED_TEST(VectorMathOf, DistanceIsSummedInIndexOrder) {
  const auto x = this->random(1000, 0), y = this->random(1000, 1);
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    sum += (double(x[i]) - double(y[i])) * (double(x[i]) - double(y[i]));
  EXPECT_EQ(this->math().distance_squared(this->view(x), this->view(y)), sum);
}

TYPED_TEST(VectorMathOf, TheNormIsOfEveryElementAtAnyAlignment) {
  EXPECT_EQ(this->math().norm_squared({}), 0);
  for (const std::size_t count : {1, 3, 15, 16, 17, 1000}) {
    const auto x = this->random(count, 0);
    double sum = 0;
    for (const TypeParam e : x) sum += double(e) * double(e);
    EXPECT_NEAR(this->math().norm_squared(this->view(x)), sum, 1e-12 * sum);
    std::vector<TypeParam> shifted(count + 1);
    std::ranges::copy(x, shifted.begin() + 1);
    EXPECT_EQ(this->math().norm_squared({shifted.data() + 1, count}),
              this->math().norm_squared(this->view(x)));
    for (const double bad : {HUGE_VAL, std::nan("")}) {
      auto y = x;
      y[count / 2] = static_cast<TypeParam>(bad);
      EXPECT_FALSE(std::isfinite(this->math().norm_squared(this->view(y))));
    }
  }
  std::vector<float> large(100, 1e30F);  // their squares are beyond f32
  EXPECT_NEAR(vector_math_f32().norm_squared({large.data(), large.size()}), 1e62, 1e56);
}

TYPED_TEST(VectorMathOf, FiniteSeesEveryElement) {
  const TypeParam inf = std::numeric_limits<TypeParam>::infinity();
  auto x = this->random(70, 0);
  x[3] = std::numeric_limits<TypeParam>::max();
  x[4] = std::numeric_limits<TypeParam>::denorm_min();
  EXPECT_TRUE(this->math().finite(this->view(x)));
  for (std::size_t i = 0; i < x.size(); ++i)
    for (const TypeParam bad : {inf, -inf, std::numeric_limits<TypeParam>::quiet_NaN()}) {
      auto y = x;
      y[i] = bad;
      ASSERT_FALSE(this->math().finite(this->view(y)));
    }
}

TYPED_TEST(VectorMathOf, CodesAreUnbiasedWithTheVarianceOfTheirLaw) {
  // E Q = v and E||Q - v||^2 = ||v||_1 ||v||_p - ||v||_2^2.
  const std::size_t count = 33, trials = 20'000;
  const auto v = this->random(count, 0);
  double one = 0, two = 0, most = 0;
  for (const TypeParam e : v) {
    one += std::abs(double(e));
    two += double(e) * double(e);
    most = std::max(most, std::abs(double(e)));
  }
  for (const CodeNorm norm : {CodeNorm::two, CodeNorm::infinity}) {
    const double scale = norm == CodeNorm::two ? std::sqrt(two) : most;
    Rng rng(7);
    std::vector<std::byte> code(this->math().code_bytes(count));
    EXPECT_EQ(code.size(), 16u + 9u);
    std::vector<double> sum(count);
    double squared = 0;
    for (std::size_t trial = 0; trial < trials; ++trial) {
      std::vector<TypeParam> decoded(count);
      this->math().encode(code, this->view(v), norm, rng);
      this->math().add_decoded(this->view(decoded), 1, code);
      for (std::size_t i = 0; i < count; ++i) {
        sum[i] += decoded[i];
        squared += (double(decoded[i]) - double(v[i])) * (double(decoded[i]) - double(v[i]));
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      const double deviation = std::sqrt(std::abs(double(v[i])) * scale / double(trials));
      EXPECT_NEAR(sum[i] / double(trials), double(v[i]), 6 * deviation + 1e-6);
    }
    const double law = one * scale - two;
    EXPECT_NEAR(squared / double(trials), law, 0.03 * law);
  }
}

TYPED_TEST(VectorMathOf, CodesOfSpecialVectorsDecodeToThem) {
  Rng rng(1);
  for (const CodeNorm norm : {CodeNorm::two, CodeNorm::infinity}) {
    // One element, zeros: certain either way. Not finite: NaN, never silently a number.
    for (const std::vector<TypeParam>& v :
         {std::vector<TypeParam>{0, 0, -2, 0, 0}, std::vector<TypeParam>(5, 0)}) {
      std::vector<std::byte> code(this->math().code_bytes(v.size()));
      this->math().encode(code, this->view(v), norm, rng);
      std::vector<TypeParam> decoded(v.size());
      this->math().add_decoded(this->view(decoded), 1, code);
      EXPECT_EQ(decoded, v);
    }
    const std::vector<TypeParam> bad = {1, std::numeric_limits<TypeParam>::infinity(), 2};
    std::vector<std::byte> code(this->math().code_bytes(bad.size()));
    this->math().encode(code, this->view(bad), norm, rng);
    std::vector<TypeParam> decoded(bad.size());
    this->math().add_decoded(this->view(decoded), 1, code);
    EXPECT_FALSE(this->math().finite(this->view(decoded)));
  }
}

TYPED_TEST(VectorMathOf, EncodingDrawsTheSameNumbersWhateverTheVector) {
  Rng a(5), b(5);
  std::vector<std::byte> code(this->math().code_bytes(100));
  const auto v = this->random(100, 0);
  this->math().encode(code, this->view(v), CodeNorm::two, a);
  const std::vector<TypeParam> zeros(100, 0);
  this->math().encode(code, this->view(zeros), CodeNorm::infinity, b);
  EXPECT_EQ(a.state(), b.state());
}

}  // namespace
}  // namespace paceline
