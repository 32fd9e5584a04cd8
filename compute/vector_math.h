// Algebra of whole flat vectors, as protocols and optimisers need it. Vectors are opaque here: a
// pointer into a device's memory and a count; scalar type and device belong to the implementation
// (f32 and f64 on CPUs; CUDA later).
//   VM-1 Every operation is one pass over its operands; a fused update equals the separate passes
//        bit for bit.
//   VM-2 Results do not depend on the number of threads, on alignment or on the instruction set:
//        element i depends on elements i alone, and reductions run in an order that is fixed.
//   VM-3 Operands of one call do not overlap, except where they are the same vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "paceline/compute/random.h"

namespace paceline {

/// A borrowed vector of a device; never dereferenced outside the VectorMath that belongs to it.
struct Vector {
  void* data = nullptr;
  std::size_t count = 0;
};
struct ConstVector {
  const void* data = nullptr;
  std::size_t count = 0;
  ConstVector() = default;
  ConstVector(const void* d, std::size_t n) : data(d), count(n) {}
  ConstVector(Vector v) : data(v.data), count(v.count) {}  // NOLINT: a view of what may be written
};

/// x -= strength * (x - leader).
struct Pull {
  ConstVector leader;
  double strength = 0;
};

/// The momentum forms of the literature; never mix them up (docs/algorithms.md).
enum class Momentum : std::uint8_t {
  none,        ///< x -= eta g
  heavy_ball,  ///< PyTorch: m = delta m + g; x -= eta m (the first step sets m = g, as m = 0 does)
  nesterov,    ///< PyTorch: m = delta m + g; x -= eta (g + delta m)
  sutskever,   ///< v = delta v; x += v; [gradient at x]; x -= eta g; v -= eta g
};

/// Elements [first, first + count) of a vector.
struct ElementRange {
  std::size_t first = 0, count = 0;
  bool operator==(const ElementRange&) const = default;
};

/// One SGD step's constants. What the form of momentum calls g is
/// gradient_scale * g + weight_decay * x, without the second term in the ranges `undecayed`.
struct Sgd {
  double learning_rate = 0.1;
  double momentum = 0.9;
  double weight_decay = 1e-4;
  Momentum form = Momentum::nesterov;
  double gradient_scale = 1;                     ///< below 1 where a gradient is clipped
  std::span<const ElementRange> undecayed = {};  ///< borrowed; ascending, apart from each other
};

/// The norm that scales a code. @source Mishchenko et al. 2019, Quant_p
enum class CodeNorm : std::uint8_t { two, infinity };

/// A copy that goes on beside other work.
class PendingCopy {
 public:
  virtual ~PendingCopy() = default;  ///< waits for its end
  virtual bool done() = 0;
};

class VectorMath {
 public:
  virtual ~VectorMath() = default;
  /// Of a vector of `count` scalars, and of its code.
  virtual std::size_t bytes(std::size_t count) const = 0;
  virtual std::size_t code_bytes(std::size_t count) const = 0;

  virtual void fill(Vector y, double value) const = 0;
  virtual void copy(Vector y, ConstVector x) const = 0;
  /// The same, of x as it is now: x may change at once, y is not to be read before the copy is done.
  /// @return null where it was done at once
  virtual std::unique_ptr<PendingCopy> begin_copy(Vector y, ConstVector x) const {
    copy(y, x);
    return nullptr;
  }
  /// Waits until all that the calling thread has begun here has ended: before what it has written is
  /// published, and before a pin of what it has read goes. Nothing where calls end before they return.
  virtual void finish() const {}
  /// y *= a
  virtual void scale(Vector y, double a) const = 0;
  /// y += a x
  virtual void axpy(Vector y, double a, ConstVector x) const = 0;
  /// d = a (x - y)
  virtual void difference(Vector d, double a, ConstVector x, ConstVector y) const = 0;
  virtual void pull(Vector x, const Pull& pull) const = 0;
  /// y = (xs[0] + xs[1] + ...) / n, summed in the order given
  virtual void mean(Vector y, std::span<const ConstVector> xs) const = 0;
  /// ||x - y||^2, in double and in index order
  virtual double distance_squared(ConstVector x, ConstVector y) const = 0;
  /// ||x||^2 in double: 16 sums over every 16th element, added in order
  virtual double norm_squared(ConstVector x) const = 0;
  virtual bool finite(ConstVector x) const = 0;

  /// Sutskever's half before the gradient: v = delta v; x += v. Nothing for the other forms.
  virtual void look_ahead(const Sgd& sgd, Vector x, Vector momentum) const = 0;
  /// The optimiser's step, then the pulls in the order given, in one pass over x, momentum, g and
  /// the leaders.
  /// @param momentum  [P], state of the form; may be empty for Momentum::none
  virtual void update(const Sgd& sgd, Vector x, Vector momentum, ConstVector g,
                      std::span<const Pull> pulls) const = 0;

  /// code = Quant_p(v): the norm, and two bits a coordinate (0, +, -). Unbiased; one draw from rng
  /// a coordinate. What is not finite has a code that decodes to NaN.
  virtual void encode(std::span<std::byte> code, ConstVector v, CodeNorm norm, Rng& rng) const = 0;
  /// y += a decode(code)
  virtual void add_decoded(Vector y, double a, std::span<const std::byte> code) const = 0;
};

/// The CPU's algebra, f32 (training) and f64 (simulation); stateless, shared by all threads.
const VectorMath& vector_math_f32();
const VectorMath& vector_math_f64();

}  // namespace paceline
