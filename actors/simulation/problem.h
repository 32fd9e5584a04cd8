// What the lab minimises: f = mean_i f_i, f_i being worker i's, in double precision.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "paceline/actors/gradient_engine.h"
#include "paceline/actors/place.h"
#include "paceline/result.h"

namespace paceline {

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

struct Problem {
  std::size_t dimension = 0;
  std::vector<std::shared_ptr<const LocalObjective>> parts;  ///< by worker
  double smoothness = 1;  ///< the largest L_i; where f is not convex, near its minima
  bool convex = true;     ///< all begin at 0; else apart from each other
  std::function<Result<std::vector<double>>()> reference;  ///< the optimum; may be empty

  double value(std::span<const double> x) const;
  /// @param batch  rows of a gradient; 0: exact
  std::unique_ptr<GradientEngine> engine(Rank rank, std::size_t batch) const;
  /// All of f, as one worker sees it.
  std::unique_ptr<GradientEngine> whole_engine(std::size_t batch) const;
};

struct ProblemOptions {
  std::string objective = "least-squares";
  std::vector<std::filesystem::path> files;  ///< one a worker, or one to be shared out
  bool by_label = false;                     ///< shared out in the order of targets
  std::uint32_t workers = 8;
  std::uint64_t seed = 1;
  std::size_t rows = 40, dimension = 20;  ///< synthetic: rows a worker
  double l2 = 0.01;                       ///< of logistic regression
  double least_curvature = 0.1, most_curvature = 4.7, heterogeneity = 1;  ///< of quadratics
  std::size_t rank = 2;                                                   ///< of matrix completion
  double tilt = 0.05;                                                     ///< of the double well
};

/// @return an error that names an unknown objective and the known ones, or the bad file
Result<Problem> make_problem(const ProblemOptions& options);
std::vector<std::string> objective_names();

}  // namespace paceline
