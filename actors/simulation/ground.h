// What one trial stands on: whose vectors, whose gradients, where everybody begins and what a point is
// worth. Threading: opened, used and destroyed on one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "paceline/actors/gradient_engine.h"
#include "paceline/actors/place.h"

namespace paceline {

class Ground {
 public:
  virtual ~Ground() = default;
  /// Of all vectors here.
  virtual const VectorMath& math() const = 0;
  /// A worker's; where it is alone, that of all of f.
  /// @return an exception where there is no memory
  virtual std::unique_ptr<GradientEngine> engine(Rank rank) = 0;
  /// Writes a role's first x.
  virtual void begin(Address who, Vector x) = 0;
  virtual std::vector<double> numbers(ConstVector x) const = 0;
  /// f at x.
  virtual double value(std::span<const double> x) = 0;
  /// The share of a test set that x gets wrong, where there is one. @return as engine() does
  virtual std::optional<double> test_error(std::span<const double> /*x*/) { return {}; }
  /// Whether that takes no more than a few gradients do.
  virtual bool tests_cheaply() const { return false; }
};

struct GroundOptions {
  std::uint32_t workers = 1, joining = 0;
  bool alone = false;     ///< one worker, whose gradients are of all of f
  std::size_t batch = 0;  ///< of a gradient; 0: what is usual for the problem
  double spread = 1;      ///< how far apart workers begin, where they do
  std::uint64_t seed = 1;
};

/// One f_i: exact, and of a batch of rows where it has rows.
class LocalObjective {
 public:
  virtual ~LocalObjective() = default;
  /// The value at x; adds its gradient to g, weighted.
  virtual double gradient(std::span<const double> x, std::span<double> g, double weight) const = 0;
  /// The same of `batch` rows drawn from rng; exact where there are no rows.
  virtual double sampled(std::span<const double> x, std::span<double> g, std::size_t /*batch*/,
                         Rng& /*rng*/) const {
    return gradient(x, g, 1);
  }
};
using LocalObjectives = std::vector<std::shared_ptr<const LocalObjective>>;  ///< by worker

/// Their mean at x.
double mean_value(const LocalObjectives& parts, std::span<const double> x);
/// In double precision. @param together  all begin at 0; else apart from each other
std::unique_ptr<Ground> ground_of(LocalObjectives parts, bool together,
                                  const GroundOptions& options);

}  // namespace paceline
