// Vector algebra that is another one's, but for what a test changes: how vectors are found, and how
// they are copied.
#pragma once

#include <vector>

#include "paceline/compute/vector_math.h"

namespace paceline {

class ForwardingMath : public VectorMath {
 public:
  /// @param math  outlives this
  explicit ForwardingMath(const VectorMath& math) : math_(math) {}

  std::size_t bytes(std::size_t count) const override { return math_.bytes(count); }
  std::size_t code_bytes(std::size_t count) const override { return math_.code_bytes(count); }
  void fill(Vector y, double value) const override { math_.fill(at(y), value); }
  void copy(Vector y, ConstVector x) const override { math_.copy(at(y), at(x)); }
  void scale(Vector y, double a) const override { math_.scale(at(y), a); }
  void axpy(Vector y, double a, ConstVector x) const override { math_.axpy(at(y), a, at(x)); }
  void difference(Vector d, double a, ConstVector x, ConstVector y) const override {
    math_.difference(at(d), a, at(x), at(y));
  }
  void pull(Vector x, const Pull& pull) const override {
    math_.pull(at(x), {at(pull.leader), pull.strength});
  }
  void mean(Vector y, std::span<const ConstVector> xs) const override {
    std::vector<ConstVector> found;
    for (const ConstVector x : xs) found.push_back(at(x));
    math_.mean(at(y), found);
  }
  double distance_squared(ConstVector x, ConstVector y) const override {
    return math_.distance_squared(at(x), at(y));
  }
  double norm_squared(ConstVector x) const override { return math_.norm_squared(at(x)); }
  bool finite(ConstVector x) const override { return math_.finite(at(x)); }
  void look_ahead(const Sgd& sgd, Vector x, Vector momentum) const override {
    math_.look_ahead(sgd, at(x), at(momentum));
  }
  void update(const Sgd& sgd, Vector x, Vector momentum, ConstVector g,
              std::span<const Pull> pulls) const override {
    std::vector<Pull> found;
    for (const Pull& pull : pulls) found.push_back({at(pull.leader), pull.strength});
    math_.update(sgd, at(x), at(momentum), at(g), found);
  }
  void encode(std::span<std::byte> code, ConstVector v, CodeNorm norm, Rng& rng) const override {
    math_.encode(code, at(v), norm, rng);
  }
  void add_decoded(Vector y, double a, std::span<const std::byte> code) const override {
    math_.add_decoded(at(y), a, code);
  }

 protected:
  /// Where the bytes of a vector are.
  virtual void* at(void* data) const { return data; }
  Vector at(Vector v) const { return {at(v.data), v.count}; }
  ConstVector at(ConstVector v) const {
    return {at(const_cast<void*>(v.data)), v.count};  // NOLINT: nobody writes to it
  }

 private:
  const VectorMath& math_;
};

}  // namespace paceline
