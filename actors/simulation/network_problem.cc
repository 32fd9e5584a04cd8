#include "paceline/actors/simulation/network_problem.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "paceline/actors/simulation/objectives.h"
#include "paceline/actors/simulation/training.h"

namespace paceline {
namespace {

constexpr std::size_t kFewImages = 2048;  // of a test set: as dear as a few dozen gradients

struct Parts {
  RunOptions usual;
  Network network;
  Data data;
};

class NetworkGround final : public Ground {
 public:
  NetworkGround(std::shared_ptr<const Parts> parts, std::unique_ptr<Training> training)
      : parts_(std::move(parts)), training_(std::move(training)) {}
  const VectorMath& math() const override { return training_->math(); }
  std::unique_ptr<GradientEngine> engine(Rank rank) override { return training_->engine(rank); }
  void begin(Address, Vector x) override {
    math().copy(x, {training_->initial().data(), training_->dimension()});
  }
  std::vector<double> numbers(ConstVector x) const override {
    const auto all = elements<float>(x);
    return {all.begin(), all.end()};
  }
  double value(std::span<const double> x) override { return training_->loss(rounded(x)); }
  std::optional<double> test_error(std::span<const double> x) override {
    const Result<double> error = training_->test_error(rounded(x));
    if (!error) throw std::runtime_error(error.error().message);
    return error.value();
  }
  bool tests_cheaply() const override { return parts_->data.test->size() <= kFewImages; }

 private:
  const std::vector<float>& rounded(std::span<const double> x) {
    rounded_.resize(x.size());
    std::ranges::transform(x, rounded_.begin(),
                           [](double value) { return static_cast<float>(value); });
    return rounded_;
  }

  const std::shared_ptr<const Parts> parts_;
  const std::unique_ptr<Training> training_;
  std::vector<float> rounded_;
};

Result<std::unique_ptr<Ground>> open(const std::shared_ptr<const Parts>& parts,
                                     const GroundOptions& o) {
  RunOptions options = parts->usual;
  options.mode = Mode::barrier;
  options.deterministic = true;
  options.groups = 1;
  options.workers = o.workers;
  options.max_workers = o.workers + o.joining;
  if (o.batch > 0) options.batch = o.batch;
  options.seed = o.seed;
  PACELINE_TRY(auto training, Training::create(options, parts->network, parts->data));
  return std::unique_ptr<Ground>(std::make_unique<NetworkGround>(parts, std::move(training)));
}

}  // namespace

Result<Problem> network_problem(const RunOptions& usual, Network network, Data data) {
  if (usual.device != "cpu")
    return fail(std::errc::invalid_argument,
                "--device {}: the simulator computes with --device cpu alone", usual.device);
  const auto parts =
      std::make_shared<const Parts>(Parts{usual, std::move(network), std::move(data)});
  Problem problem;
  problem.dimension = parts->network.layout().elements;
  problem.learning_rate =
      usual.sgd.learning_rate > 0 ? usual.sgd.learning_rate : parts->network.learning_rate();
  problem.learning_rate_from = "the network's";
  problem.open = [parts](const GroundOptions& o) { return open(parts, o); };
  return problem;
}

}  // namespace paceline
