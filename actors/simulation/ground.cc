#include "paceline/actors/simulation/ground.h"

#include <algorithm>
#include <utility>

#include "paceline/actors/simulation/objectives.h"

namespace paceline {
namespace {

class PartEngine final : public GradientEngine {
 public:
  PartEngine(LocalObjectives parts, std::size_t batch) : parts_(std::move(parts)), batch_(batch) {}
  double gradient(ConstVector at, Vector gradient, Rng& rng) override {
    const auto x = elements<double>(at);
    const auto g = elements<double>(gradient);
    std::ranges::fill(g, 0.0);
    if (parts_.size() == 1) return parts_.front()->sampled(x, g, batch_, rng);
    if (batch_ > 0) return parts_[rng.below(parts_.size())]->sampled(x, g, batch_, rng);
    double sum = 0;
    const double weight = 1 / static_cast<double>(parts_.size());
    for (const auto& part : parts_) sum += weight * part->gradient(x, g, weight);
    return sum;
  }

 private:
  const LocalObjectives parts_;
  const std::size_t batch_;
};

class PartsGround final : public Ground {
 public:
  PartsGround(LocalObjectives parts, bool together, const GroundOptions& options)
      : parts_(std::move(parts)), together_(together), options_(options) {}
  const VectorMath& math() const override { return vector_math_f64(); }
  std::unique_ptr<GradientEngine> engine(Rank rank) override {
    return std::make_unique<PartEngine>(
        options_.alone ? parts_ : LocalObjectives{parts_[rank % parts_.size()]}, options_.batch);
  }
  void begin(Address who, Vector x) override {
    constexpr std::uint64_t kFirstStream = 1'000'000;
    Rng rng(options_.seed, kFirstStream + who.index);
    for (double& value : elements<double>(x))
      value = together_ ? 0 : options_.spread * rng.normal();
  }
  std::vector<double> numbers(ConstVector x) const override {
    const auto all = elements<double>(x);
    return {all.begin(), all.end()};
  }
  double value(std::span<const double> x) override { return mean_value(parts_, x); }

 private:
  const LocalObjectives parts_;
  const bool together_;
  const GroundOptions options_;
};

}  // namespace

double mean_value(const LocalObjectives& parts, std::span<const double> x) {
  std::vector<double> ignored(x.size());
  double sum = 0, last = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i == 0 || parts[i] != parts[i - 1]) last = parts[i]->gradient(x, ignored, 0);
    sum += last;
  }
  return sum / static_cast<double>(parts.size());
}

std::unique_ptr<Ground> ground_of(LocalObjectives parts, bool together,
                                  const GroundOptions& options) {
  return std::make_unique<PartsGround>(std::move(parts), together, options);
}

}  // namespace paceline
