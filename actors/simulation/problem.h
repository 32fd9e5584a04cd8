// What the lab minimises: f = mean_i f_i, f_i being worker i's.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "paceline/actors/simulation/ground.h"
#include "paceline/result.h"

namespace paceline {

struct Problem {
  std::size_t dimension = 0;
  LocalObjectives parts;  ///< empty: f is known through its ground alone
  double smoothness = 0;  ///< the largest L_i; where f is not convex, near its minima; 0: unknown
  double learning_rate = 0;  ///< where none is given
  std::string learning_rate_from = "1 / L";
  std::function<Result<std::vector<double>>()> reference;  ///< the optimum; may be empty
  /// Several threads may call it, each for itself.
  std::function<Result<std::unique_ptr<Ground>>(const GroundOptions&)> open;

  /// @pre there are parts
  double value(std::span<const double> x) const { return mean_value(parts, x); }
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

/// In closed form and double precision.
/// @return an error that names an unknown objective and the known ones, or the bad file
Result<Problem> make_problem(const ProblemOptions& options);
std::vector<std::string> objective_names();

}  // namespace paceline
