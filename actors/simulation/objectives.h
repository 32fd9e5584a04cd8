// Objectives in closed form, for simulations and tests: each is a worker's GradientEngine on
// vectors of T in host memory.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "paceline/actors/gradient_engine.h"

namespace paceline {

template <class T>
std::span<T> elements(Vector v) {
  return {static_cast<T*>(v.data), v.count};
}
template <class T>
std::span<const T> elements(ConstVector v) {
  return {static_cast<const T*>(v.data), v.count};
}

/// The same loss everywhere, gradient 0: what remains is coordination.
template <class T>
class Level final : public GradientEngine {
 public:
  explicit Level(double loss) : loss_(loss) {}
  double gradient(ConstVector, Vector g, Rng&) override {
    std::ranges::fill(elements<T>(g), T(0));
    return loss_;
  }

 private:
  const double loss_;
};

/// |A x - b|^2 / 2m with random A [m, d] and b [m]. A batch of m rows is exact, a smaller one
/// random.
template <class T>
class LeastSquares final : public GradientEngine {
 public:
  LeastSquares(std::size_t rows, std::size_t dimension, std::size_t batch, Rng data)
      : batch_(batch), a_(rows * dimension), b_(rows) {
    for (T& value : a_) value = static_cast<T>(data.normal());
    for (T& value : b_) value = static_cast<T>(3 * data.normal());
  }
  double gradient(ConstVector at, Vector gradient, Rng& rng) override {
    const auto x = elements<T>(at);
    const auto g = elements<T>(gradient);
    std::ranges::fill(g, T(0));
    double loss = 0;
    for (std::size_t k = 0; k < batch_; ++k) {
      const std::size_t row = batch_ == b_.size() ? k : rng.below(b_.size());
      const T* a = &a_[row * x.size()];
      T error = -b_[row];
      for (std::size_t i = 0; i < x.size(); ++i) error += a[i] * x[i];
      for (std::size_t i = 0; i < x.size(); ++i) g[i] += error * a[i] / static_cast<T>(batch_);
      loss += static_cast<double>(error) * static_cast<double>(error);
    }
    return loss / (2 * static_cast<double>(batch_));
  }

 private:
  const std::size_t batch_;
  std::vector<T> a_, b_;
};

/// sum over i of (x_i^2 - 1)^2 + tilt x_i: two wells, that at -1 the deeper for a positive tilt.
template <class T>
class DoubleWell final : public GradientEngine {
 public:
  explicit DoubleWell(double tilt) : tilt_(tilt) {}
  double gradient(ConstVector at, Vector gradient, Rng&) override {
    const auto x = elements<T>(at);
    const auto g = elements<T>(gradient);
    double loss = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double v = x[i], well = v * v - 1;
      g[i] = static_cast<T>(4 * v * well + tilt_);
      loss += well * well + tilt_ * v;
    }
    return loss;
  }

 private:
  const double tilt_;
};

}  // namespace paceline
