// The objectives of the lab, each with its formula.
#include "paceline/actors/simulation/problem.h"

#include <fmt/ranges.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "paceline/actors/simulation/data_table.h"
#include "paceline/actors/simulation/objectives.h"

namespace paceline {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Values = Eigen::VectorXd;

Eigen::Map<const Values> view(std::span<const double> x) {
  return {x.data(), static_cast<Eigen::Index>(x.size())};
}
Eigen::Map<Values> view(std::span<double> x) {
  return {x.data(), static_cast<Eigen::Index>(x.size())};
}

// ---- rows: |A x - b|^2 / 2m, and mean log(1 + exp(-b a x)) + l2 |x|^2 / 2 ----

enum class Loss { squares, logistic };

class RowObjective final : public LocalObjective {
 public:
  RowObjective(Loss loss, const DataTable& table, double l2)
      : loss_(loss),
        l2_(l2),
        a_(Eigen::Map<const Matrix>(table.features.data(), static_cast<Eigen::Index>(table.rows()),
                                    static_cast<Eigen::Index>(table.columns))),
        b_(view(std::span<const double>(table.targets))) {}

  double gradient(std::span<const double> x, std::span<double> g, double weight) const override {
    double sum = 0;
    for (Eigen::Index row = 0; row < a_.rows(); ++row)
      sum += add_row(row, x, g, weight / static_cast<double>(a_.rows()));
    return finish(x, g, weight, sum / static_cast<double>(a_.rows()));
  }
  double sampled(std::span<const double> x, std::span<double> g, std::size_t batch,
                 Rng& rng) const override {
    const auto rows = static_cast<std::uint64_t>(a_.rows());
    if (batch == 0 || batch >= rows) return gradient(x, g, 1);
    double sum = 0;
    for (std::size_t k = 0; k < batch; ++k)
      sum +=
          add_row(static_cast<Eigen::Index>(rng.below(rows)), x, g, 1 / static_cast<double>(batch));
    return finish(x, g, 1, sum / static_cast<double>(batch));
  }

  double smoothness() const {
    const Matrix gram = a_.transpose() * a_ / static_cast<double>(a_.rows());
    const double largest =
        Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(gram).eigenvalues().maxCoeff();
    return loss_ == Loss::squares ? largest : largest / 4 + l2_;
  }
  const Matrix& a() const { return a_; }
  const Values& b() const { return b_; }

 private:
  double add_row(Eigen::Index row, std::span<const double> x, std::span<double> g,
                 double weight) const {
    const double product = a_.row(row).dot(view(x)), target = b_[row];
    if (loss_ == Loss::squares) {
      const double error = product - target;
      view(g) += weight * error * a_.row(row).transpose();
      return error * error / 2;
    }
    const double margin = target * product;
    view(g) -= weight * target / (1 + std::exp(margin)) * a_.row(row).transpose();
    return margin > 0 ? std::log1p(std::exp(-margin)) : std::log1p(std::exp(margin)) - margin;
  }
  double finish(std::span<const double> x, std::span<double> g, double weight, double loss) const {
    if (l2_ == 0) return loss;
    view(g) += weight * l2_ * view(x);
    return loss + l2_ / 2 * view(x).squaredNorm();
  }

  const Loss loss_;
  const double l2_;
  const Matrix a_;
  const Values b_;
};

/// Of mean_i |A_i x - b_i|^2 / 2 m_i, by QR with column pivots of the scaled rows.
std::vector<double> solved_squares(const std::vector<std::shared_ptr<const RowObjective>>& parts) {
  Eigen::Index rows = 0;
  for (const auto& part : parts) rows += part->a().rows();
  Matrix a(rows, parts.front()->a().cols());
  Values b(rows);
  Eigen::Index at = 0;
  for (const auto& part : parts) {
    const double scale = 1 / std::sqrt(static_cast<double>(part->a().rows()));
    a.middleRows(at, part->a().rows()) = scale * part->a();
    b.segment(at, part->a().rows()) = scale * part->b();
    at += part->a().rows();
  }
  const Values x = a.completeOrthogonalDecomposition().solve(b);
  return {x.begin(), x.end()};
}

/// Newton's method, with halved steps where a whole one does not descend.
Result<std::vector<double>> solved_logistic(
    const std::vector<std::shared_ptr<const RowObjective>>& parts, double l2) {
  const Eigen::Index d = parts.front()->a().cols();
  const double n = static_cast<double>(parts.size());
  Values x = Values::Zero(d);
  const auto at = [&](const Values& point, Values& gradient) {
    gradient = Values::Zero(d);
    double sum = 0;
    for (const auto& part : parts)
      sum += part->gradient({point.data(), static_cast<std::size_t>(d)},
                            {gradient.data(), static_cast<std::size_t>(d)}, 1 / n) /
             n;
    return sum;
  };
  Values g;
  double value = at(x, g);
  for (int step = 0; step < 200 && g.norm() > 1e-13; ++step) {
    Eigen::MatrixXd hessian = l2 * Eigen::MatrixXd::Identity(d, d);
    for (const auto& part : parts)
      for (Eigen::Index row = 0; row < part->a().rows(); ++row) {
        const double s = 1 / (1 + std::exp(-part->a().row(row).dot(x)));
        hessian += s * (1 - s) / (n * static_cast<double>(part->a().rows())) *
                   part->a().row(row).transpose() * part->a().row(row);
      }
    const Values direction = hessian.ldlt().solve(g);
    double length = 1;
    Values next = x - direction, next_g;
    double next_value = at(next, next_g);
    // Near the optimum values are equal up to rounding: there the gradient decides.
    for (; next_value > value && !(next_g.norm() < g.norm()) && length > 1e-6; length /= 2) {
      next = x - length / 2 * direction;
      next_value = at(next, next_g);
    }
    const bool stands = (next - x).norm() == 0;
    x = next, g = next_g, value = next_value;
    if (stands) break;
  }
  if (!(g.norm() <= 1e-12))
    return fail(std::errc::result_out_of_range,
                "the reference's gradient is {:.3g}, and not below 1e-12: give more --l2",
                g.norm());
  return std::vector<double>(x.begin(), x.end());
}

Result<std::vector<DataTable>> tables(const ProblemOptions& o, Loss loss) {
  std::vector<DataTable> all;
  for (const auto& file : o.files) {
    PACELINE_TRY(DataTable table, read_table(file));
    if (!all.empty() && table.columns != all.front().columns)
      return fail(std::errc::invalid_argument, "{} has {} features, and {} has {}", file.string(),
                  table.columns, o.files.front().string(), all.front().columns);
    all.push_back(std::move(table));
  }
  if (all.empty()) {
    Rng rng(o.seed, 0);
    std::vector<double> truth(o.dimension);
    for (double& value : truth) value = rng.normal();
    for (std::uint32_t i = 0; i < o.workers; ++i) {
      DataTable table{o.dimension, {}, {}};
      for (std::size_t row = 0; row < o.rows; ++row) {
        double product = o.heterogeneity * static_cast<double>(i % 4);
        for (std::size_t k = 0; k < o.dimension; ++k) {
          table.features.push_back(rng.normal());
          product += table.features.back() * truth[k];
        }
        product += rng.normal();
        table.targets.push_back(loss == Loss::squares ? product : product > 0 ? 1 : -1);
      }
      all.push_back(std::move(table));
    }
  }
  if (all.size() == 1 && o.workers > 1) {
    const DataTable whole = o.by_label ? by_target(all.front()) : all.front();
    if (whole.rows() < o.workers)
      return fail(std::errc::invalid_argument, "{} rows for {} workers", whole.rows(), o.workers);
    all.clear();
    for (std::size_t i = 0; i < o.workers; ++i) {
      const std::size_t first = whole.rows() * i / o.workers;
      all.push_back(rows_of(whole, first, whole.rows() * (i + 1) / o.workers - first));
    }
  }
  if (all.size() != o.workers)
    return fail(std::errc::invalid_argument, "{} files for {} workers: give one a worker, or one",
                all.size(), o.workers);
  return all;
}

Result<Problem> of_rows(const ProblemOptions& o, Loss loss) {
  PACELINE_TRY(std::vector<DataTable> data, tables(o, loss));
  if (loss == Loss::logistic) {  // two classes, whatever they are called
    double low = data[0].targets[0], high = low;
    for (const DataTable& t : data)
      for (const double y : t.targets) low = std::min(low, y), high = std::max(high, y);
    for (DataTable& t : data)
      for (double& y : t.targets) {
        if (y != low && y != high)
          return fail(std::errc::invalid_argument,
                      "labels {}, {} and {}: logistic regression takes two classes", low, y, high);
        y = y == high ? 1 : -1;
      }
  }
  const double l2 = loss == Loss::logistic ? o.l2 : 0;
  std::vector<std::shared_ptr<const RowObjective>> parts;
  Problem problem;
  problem.dimension = data.front().columns;
  problem.smoothness = 0;
  for (const DataTable& table : data) {
    parts.push_back(std::make_shared<RowObjective>(loss, table, l2));
    problem.parts.push_back(parts.back());
    problem.smoothness = std::max(problem.smoothness, parts.back()->smoothness());
  }
  problem.reference = [parts, loss, l2]() -> Result<std::vector<double>> {
    if (loss == Loss::logistic) return solved_logistic(parts, l2);
    return solved_squares(parts);
  };
  return problem;
}

// ---- quadratics: (x - c_i)' H_i (x - c_i) / 2, H_i diagonal, its spectrum given ----

struct Bowl final : LocalObjective {
  std::vector<double> curvature, centre;
  double gradient(std::span<const double> x, std::span<double> g, double weight) const override {
    double sum = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      const double away = x[k] - centre[k];
      g[k] += weight * curvature[k] * away;
      sum += curvature[k] * away * away / 2;
    }
    return sum;
  }
};

Problem quadratics(const ProblemOptions& o) {
  Problem problem;
  problem.dimension = o.dimension;
  problem.smoothness = o.most_curvature;
  std::vector<double> above(o.dimension), below(o.dimension);
  Rng rng(o.seed, 0);
  for (std::uint32_t i = 0; i < o.workers; ++i) {
    auto bowl = std::make_shared<Bowl>();
    for (std::size_t k = 0; k < o.dimension; ++k) {
      // Each worker has the whole spectrum, each in another order.
      const std::size_t at = (k + i) % o.dimension;
      const double share =
          o.dimension > 1 ? static_cast<double>(at) / static_cast<double>(o.dimension - 1) : 1;
      bowl->curvature.push_back(o.least_curvature *
                                std::pow(o.most_curvature / o.least_curvature, share));
      bowl->centre.push_back(1 + o.heterogeneity * rng.normal());
      above[k] += bowl->curvature[k] * bowl->centre[k];
      below[k] += bowl->curvature[k];
    }
    problem.parts.push_back(std::move(bowl));
  }
  for (std::size_t k = 0; k < o.dimension; ++k) above[k] /= below[k];
  problem.reference = [above]() -> Result<std::vector<double>> { return above; };
  return problem;
}

// ---- the double well: sum (x_k^2 - 1)^2 + tilt x_k; many minima, one the deepest ----

struct Well final : LocalObjective {
  double tilt = 0;
  double gradient(std::span<const double> x, std::span<double> g, double weight) const override {
    double sum = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      const double well = x[k] * x[k] - 1;
      g[k] += weight * (4 * x[k] * well + tilt);
      sum += well * well + tilt * x[k];
    }
    return sum;
  }
};

Problem wells(const ProblemOptions& o) {
  auto well = std::make_shared<Well>();
  well->tilt = o.tilt;
  Problem problem;
  problem.dimension = o.dimension;
  problem.parts.assign(o.workers, well);
  problem.smoothness = 12.5;  // of the steep sides where workers begin
  return problem;
}

// ---- matrix completion: |M - X X'|^2 / 4, X of d x r, symmetric in every rotation of its columns ----

struct Completion final : LocalObjective {
  Matrix m;
  Eigen::Index rank = 1;
  double gradient(std::span<const double> x, std::span<double> g, double weight) const override {
    const Eigen::Map<const Matrix> at(x.data(), m.rows(), rank);
    const Matrix error = at * at.transpose() - m;
    Eigen::Map<Matrix>(g.data(), m.rows(), rank) += weight * error * at;
    return error.squaredNorm() / 4;
  }
};

Problem completions(const ProblemOptions& o) {
  auto part = std::make_shared<Completion>();
  const auto d = static_cast<Eigen::Index>(o.dimension);
  part->rank = static_cast<Eigen::Index>(std::min(o.rank, o.dimension));
  Rng rng(o.seed, 0);
  Matrix draws(d, part->rank);
  for (double& value : draws.reshaped()) value = rng.normal();
  const Eigen::MatrixXd q = Eigen::HouseholderQR<Eigen::MatrixXd>(draws).householderQ() *
                            Eigen::MatrixXd::Identity(d, part->rank);
  part->m = Matrix::Zero(d, d);
  for (Eigen::Index k = 0; k < part->rank; ++k)
    part->m += (1.0 + static_cast<double>(k)) * q.col(k) * q.col(k).transpose();
  Problem problem;
  problem.dimension = static_cast<std::size_t>(d * part->rank);
  problem.smoothness = 4.0 * static_cast<double>(part->rank) * static_cast<double>(d);
  problem.parts.assign(o.workers, part);
  return problem;
}

/// Gives the problem its step and its ground. @param together  as ground_of() has it
Problem finished(Problem problem, bool together) {
  problem.learning_rate = 1 / problem.smoothness;
  problem.open = [parts = problem.parts,
                  together](const GroundOptions& o) -> Result<std::unique_ptr<Ground>> {
    return ground_of(parts, together, o);
  };
  return problem;
}

}  // namespace

std::vector<std::string> objective_names() {
  return {"least-squares", "logistic", "quadratic", "double-well", "matrix-completion"};
}

Result<Problem> make_problem(const ProblemOptions& o) {
  const bool rows = o.objective == "least-squares" || o.objective == "logistic";
  if (!rows && !o.files.empty())
    return fail(std::errc::invalid_argument, "--data means nothing to --objective {}: leave it out",
                o.objective);
  if (rows) {
    PACELINE_TRY(Problem problem,
                 of_rows(o, o.objective == "logistic" ? Loss::logistic : Loss::squares));
    return finished(std::move(problem), true);
  }
  if (o.objective == "quadratic") return finished(quadratics(o), true);
  if (o.objective == "double-well") return finished(wells(o), false);
  if (o.objective == "matrix-completion") return finished(completions(o), false);
  return fail(std::errc::invalid_argument, "--objective {} is not known: it is one of {}",
              o.objective, fmt::join(objective_names(), ", "));
}

}  // namespace paceline
