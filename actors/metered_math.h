// Vector algebra whose CPU time is added up: what a protocol does to whole vectors beside gradients
// and updates is coordination, and counts as such. One thread.
#pragma once

#include "paceline/actors/thread_clock.h"
#include "paceline/compute/vector_math.h"

namespace paceline {

/// Adds the calling thread's CPU time of a scope, or a share of it.
class CpuTime {
 public:
  explicit CpuTime(double& to, double share = 1) : to_(to), share_(share) {}
  ~CpuTime() { to_ += share_ * (thread_cpu_seconds() - since_); }
  CpuTime(const CpuTime&) = delete;
  CpuTime& operator=(const CpuTime&) = delete;

 private:
  double& to_;
  const double share_;
  const double since_ = thread_cpu_seconds();
};

class MeteredMath final : public VectorMath {
 private:
  template <class F>
  auto timed(F&& f) const {
    const CpuTime time(seconds_);
    return f();
  }

 public:
  /// @param math, cpu_seconds  outlive this
  MeteredMath(const VectorMath& math, double& cpu_seconds) : math_(math), seconds_(cpu_seconds) {}

  std::size_t bytes(std::size_t count) const override { return math_.bytes(count); }
  std::size_t code_bytes(std::size_t count) const override { return math_.code_bytes(count); }
  void fill(Vector y, double value) const override {
    timed([&] { math_.fill(y, value); });
  }
  void copy(Vector y, ConstVector x) const override {
    timed([&] { math_.copy(y, x); });
  }
  std::unique_ptr<PendingCopy> begin_copy(Vector y, ConstVector x) const override {
    return timed([&] { return math_.begin_copy(y, x); });
  }
  void finish() const override {
    timed([&] { math_.finish(); });
  }
  void scale(Vector y, double a) const override {
    timed([&] { math_.scale(y, a); });
  }
  void axpy(Vector y, double a, ConstVector x) const override {
    timed([&] { math_.axpy(y, a, x); });
  }
  void difference(Vector d, double a, ConstVector x, ConstVector y) const override {
    timed([&] { math_.difference(d, a, x, y); });
  }
  void pull(Vector x, const Pull& pull) const override {
    timed([&] { math_.pull(x, pull); });
  }
  void mean(Vector y, std::span<const ConstVector> xs) const override {
    timed([&] { math_.mean(y, xs); });
  }
  double distance_squared(ConstVector x, ConstVector y) const override {
    return timed([&] { return math_.distance_squared(x, y); });
  }
  double norm_squared(ConstVector x) const override {
    return timed([&] { return math_.norm_squared(x); });
  }
  bool finite(ConstVector x) const override {
    return timed([&] { return math_.finite(x); });
  }
  void look_ahead(const Sgd& sgd, Vector x, Vector momentum) const override {
    timed([&] { math_.look_ahead(sgd, x, momentum); });
  }
  void update(const Sgd& sgd, Vector x, Vector momentum, ConstVector g,
              std::span<const Pull> pulls) const override {
    timed([&] { math_.update(sgd, x, momentum, g, pulls); });
  }
  void encode(std::span<std::byte> code, ConstVector v, CodeNorm norm, Rng& rng) const override {
    timed([&] { math_.encode(code, v, norm, rng); });
  }
  void add_decoded(Vector y, double a, std::span<const std::byte> code) const override {
    timed([&] { math_.add_decoded(y, a, code); });
  }

 private:
  const VectorMath& math_;
  double& seconds_;
};

}  // namespace paceline
