// The CPU's algebra of flat vectors: one template over float and double. Loops are element by
// element and vectorise; what takes several passes (update with pulls, mean) goes block by block
// through the first-level cache, so that memory sees one pass (VM-1). Measured, that is as fast as
// one loop over all operands, for any number of leaders. Contraction of a*b+c is off for the whole
// build, so fused and separate passes round alike. Any thread may call it; it keeps no state.
//   SGD:   g = scale g + weight_decay x;  m = delta m + g;  x -= eta (g + delta m, or m, or g)
//   Pull:  x -= c (x - z)
//   Code:  Quant_p(v)_i = ||v||_p sign(v_i) Bernoulli(|v_i| / ||v||_p)
// @source Teng et al. 2019, Algorithm 1; Mishchenko et al. 2019, Definition 1
#include "paceline/compute/vector_math.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "paceline/compute/cpu/vectorise_internal.h"
#include "paceline/result.h"

namespace paceline {
namespace {

constexpr std::size_t kBlock = 1024;     // elements: x, momentum, g and a leader stay in 48 KiB
constexpr std::size_t kCodeHeader = 16;  // the norm (f64), the count (u64)
constexpr std::size_t kSums = 16;        // of a norm, side by side

/// A step's constants, converted once.
template <class T>
struct Constants {
  Constants(const Sgd& sgd, double weight_decay)
      : eta(static_cast<T>(sgd.learning_rate)),
        delta(static_cast<T>(sgd.momentum)),
        decay(static_cast<T>(weight_decay)),
        scale(static_cast<T>(sgd.gradient_scale)) {}
  T eta, delta, decay, scale;
};

template <Momentum form, class T>
PACELINE_TARGET_CLONES void step_loop(const Constants<T> k, T* x, T* m, const T* g,
                                      std::size_t count) {
  PACELINE_INDEPENDENT
  for (std::size_t i = 0; i < count; ++i) {
    const T d = k.scale * g[i] + k.decay * x[i];
    if constexpr (form == Momentum::none) {
      x[i] -= k.eta * d;
    } else if constexpr (form == Momentum::sutskever) {
      x[i] -= k.eta * d;
      m[i] -= k.eta * d;
    } else {
      m[i] = k.delta * m[i] + d;
      x[i] -= k.eta * (form == Momentum::nesterov ? d + k.delta * m[i] : m[i]);
    }
  }
}

template <class T>
PACELINE_TARGET_CLONES void pull_loop(T* x, T strength, const T* leader, std::size_t count) {
  PACELINE_INDEPENDENT
  for (std::size_t i = 0; i < count; ++i) x[i] -= strength * (x[i] - leader[i]);
}

template <class T>
PACELINE_TARGET_CLONES void look_ahead_loop(T delta, T* x, T* v, std::size_t count) {
  PACELINE_INDEPENDENT
  for (std::size_t i = 0; i < count; ++i) {
    v[i] *= delta;
    x[i] += v[i];
  }
}

template <class T>
PACELINE_TARGET_CLONES void scale_loop(T* y, T a, std::size_t count) {
  PACELINE_INDEPENDENT
  for (std::size_t i = 0; i < count; ++i) y[i] *= a;
}

template <class T>
PACELINE_TARGET_CLONES void axpy_loop(T* y, T a, const T* x, std::size_t count) {
  PACELINE_INDEPENDENT
  for (std::size_t i = 0; i < count; ++i) y[i] += a * x[i];
}

template <class T>
PACELINE_TARGET_CLONES void difference_loop(T* d, T a, const T* x, const T* y, std::size_t count) {
  PACELINE_INDEPENDENT
  for (std::size_t i = 0; i < count; ++i) d[i] = a * (x[i] - y[i]);
}

template <class T>
PACELINE_TARGET_CLONES double squares_loop(const T* x, std::size_t count) {
  std::array<double, kSums> sums{};
  const std::size_t whole = count - count % kSums;
  for (std::size_t i = 0; i < whole; i += kSums)
    for (std::size_t j = 0; j < kSums; ++j) {
      const double value = static_cast<double>(x[i + j]);
      sums[j] += value * value;
    }
  for (std::size_t i = whole; i < count; ++i) {
    const double value = static_cast<double>(x[i]);
    sums[i - whole] += value * value;
  }
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

template <class T>
PACELINE_TARGET_CLONES bool finite_loop(const T* x, std::size_t count) {
  int bad = 0;  // counted, not left early: this way the loop vectorises
  for (std::size_t i = 0; i < count; ++i) bad |= !(std::abs(x[i]) <= std::numeric_limits<T>::max());
  return bad == 0;
}

/// Calls f(first, count) for each block of [0, count).
template <class F>
void in_blocks(std::size_t count, F f) {
  for (std::size_t i = 0; i < count; i += kBlock) f(i, std::min(kBlock, count - i));
}

template <class T>
class CpuVectorMath final : public VectorMath {
 public:
  std::size_t bytes(std::size_t count) const override { return count * sizeof(T); }
  std::size_t code_bytes(std::size_t count) const override { return kCodeHeader + (count + 3) / 4; }

  void fill(Vector y, double value) const override {
    std::fill_n(in(y), y.count, static_cast<T>(value));
  }
  void copy(Vector y, ConstVector x) const override {
    check_counts(y, x);
    if (y.data != x.data) std::copy_n(in(x), x.count, in(y));
  }
  void scale(Vector y, double a) const override { scale_loop(in(y), static_cast<T>(a), y.count); }
  void axpy(Vector y, double a, ConstVector x) const override {
    check_counts(y, x);
    axpy_loop(in(y), static_cast<T>(a), in(x), y.count);
  }
  void difference(Vector d, double a, ConstVector x, ConstVector y) const override {
    check_counts(d, x);
    check_counts(d, y);
    difference_loop(in(d), static_cast<T>(a), in(x), in(y), d.count);
  }
  void pull(Vector x, const Pull& pull) const override {
    check_counts(x, pull.leader);
    pull_loop(in(x), static_cast<T>(pull.strength), in(pull.leader), x.count);
  }

  void mean(Vector y, std::span<const ConstVector> xs) const override {
    PACELINE_CHECK(!xs.empty(), "the mean of no vectors");
    for (const ConstVector& x : xs) check_counts(y, x);
    const T n = static_cast<T>(xs.size());
    in_blocks(y.count, [&](std::size_t first, std::size_t count) {
      std::array<T, kBlock> sum;  // y may be one of xs
      std::copy_n(in(xs[0]) + first, count, sum.data());
      for (const ConstVector& x : xs.subspan(1)) axpy_loop(sum.data(), T{1}, in(x) + first, count);
      std::transform(sum.data(), sum.data() + count, in(y) + first, [n](T s) { return s / n; });
    });
  }

  double distance_squared(ConstVector x, ConstVector y) const override {
    check_counts(x, y);
    double sum = 0;
    for (std::size_t i = 0; i < x.count; ++i) {
      const double d = static_cast<double>(in(x)[i]) - static_cast<double>(in(y)[i]);
      sum += d * d;
    }
    return sum;
  }
  double norm_squared(ConstVector x) const override { return squares_loop(in(x), x.count); }
  bool finite(ConstVector x) const override { return finite_loop(in(x), x.count); }

  void look_ahead(const Sgd& sgd, Vector x, Vector momentum) const override {
    if (sgd.form != Momentum::sutskever) return;
    check_counts(x, momentum);
    look_ahead_loop(static_cast<T>(sgd.momentum), in(x), in(momentum), x.count);
  }

  void update(const Sgd& sgd, Vector x, Vector momentum, ConstVector g,
              std::span<const Pull> pulls) const override {
    check_counts(x, g);
    if (sgd.form != Momentum::none) check_counts(x, momentum);
    for (const Pull& pull : pulls) check_counts(x, pull.leader);
    const auto step = step_of(sgd.form);
    const Constants<T> decayed(sgd, sgd.weight_decay), undecayed(sgd, 0);
    auto range = sgd.undecayed.begin();  // the first that ends beyond what is done
    in_blocks(x.count, [&](std::size_t first, std::size_t count) {
      for (std::size_t from = first, end = first + count; from < end;) {
        while (range != sgd.undecayed.end() && range->first + range->count <= from) ++range;
        const bool none = range == sgd.undecayed.end(), inside = !none && range->first <= from;
        const std::size_t to =
            none ? end : std::min(end, inside ? range->first + range->count : range->first);
        T* const m = sgd.form == Momentum::none ? nullptr : in(momentum) + from;
        step(inside ? undecayed : decayed, in(x) + from, m, in(g) + from, to - from);
        from = to;
      }
      for (const Pull& pull : pulls)
        pull_loop(in(x) + first, static_cast<T>(pull.strength), in(pull.leader) + first, count);
    });
  }

  void encode(std::span<std::byte> code, ConstVector v, CodeNorm norm, Rng& rng) const override {
    PACELINE_CHECK(code.size() == code_bytes(v.count), "{} bytes for the code of {} elements",
                   code.size(), v.count);
    const double scale = norm_of(v, norm);
    const std::uint64_t count = v.count;
    std::memcpy(code.data(), &scale, sizeof scale);
    std::memcpy(code.data() + sizeof scale, &count, sizeof count);
    for (std::size_t i = 0; i < v.count; i += 4) {
      unsigned quad = 0;
      for (std::size_t j = 0; j < std::min<std::size_t>(4, v.count - i); ++j) {
        const double value = static_cast<double>(in(v)[i + j]);
        const bool taken = rng.uniform() * scale < std::abs(value);
        quad |= (taken ? (value > 0 ? 1u : 2u) : 0u) << (2 * j);
      }
      code[kCodeHeader + i / 4] = static_cast<std::byte>(quad);
    }
  }

  void add_decoded(Vector y, double a, std::span<const std::byte> code) const override {
    PACELINE_CHECK(code.size() == code_bytes(y.count), "{} bytes of code for {} elements",
                   code.size(), y.count);
    double scale = 0;
    std::uint64_t count = 0;
    std::memcpy(&scale, code.data(), sizeof scale);
    std::memcpy(&count, code.data() + sizeof scale, sizeof count);
    PACELINE_CHECK(count == y.count, "the code of {} elements for {}", count, y.count);
    // Zero is scaled too: what encodes a vector that is not finite decodes to NaN everywhere.
    const T step = static_cast<T>(a * scale);
    const std::array<T, 4> added = {step * T{0}, step, -step, step * T{0}};
    for (std::size_t i = 0; i < y.count; ++i) {
      const unsigned quad = std::to_integer<unsigned>(code[kCodeHeader + i / 4]);
      in(y)[i] += added[(quad >> (2 * (i % 4))) & 3u];
    }
  }

 private:
  static T* in(Vector v) { return static_cast<T*>(v.data); }
  static const T* in(ConstVector v) { return static_cast<const T*>(v.data); }
  static void check_counts(ConstVector a, ConstVector b) {
    PACELINE_CHECK(a.count == b.count, "vectors of {} and {} elements", a.count, b.count);
  }
  static auto step_of(Momentum form) {
    switch (form) {
      case Momentum::none:
        return &step_loop<Momentum::none, T>;
      case Momentum::heavy_ball:
        return &step_loop<Momentum::heavy_ball, T>;
      case Momentum::nesterov:
        return &step_loop<Momentum::nesterov, T>;
      case Momentum::sutskever:
        break;
    }
    return &step_loop<Momentum::sutskever, T>;
  }
  /// In double and in index order; NaN for a vector that is not finite.
  double norm_of(ConstVector v, CodeNorm norm) const {
    if (!finite(v)) return std::numeric_limits<double>::quiet_NaN();
    double largest = 0, squares = 0;
    for (std::size_t i = 0; i < v.count; ++i) {
      const double value = static_cast<double>(in(v)[i]);
      largest = std::max(largest, std::abs(value));
      squares += value * value;
    }
    return norm == CodeNorm::infinity ? largest : std::sqrt(squares);
  }
};

}  // namespace

const VectorMath& vector_math_f32() {
  static const CpuVectorMath<float> math;
  return math;
}
const VectorMath& vector_math_f64() {
  static const CpuVectorMath<double> math;
  return math;
}

}  // namespace paceline
