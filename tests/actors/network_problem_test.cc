// A network's loss as a problem of the lab: the real engine in virtual time.
#include "paceline/actors/simulation/network_problem.h"

#include <gtest/gtest.h>

#include "paceline/actors/simulation/training.h"
#include "paceline/actors/simulation/trial.h"
#include "paceline/layers/network_file.h"
#include "simulated_run.h"

namespace paceline {
namespace {

constexpr std::uint64_t kIterations = 10;
constexpr const char* kNetwork = R"(image 3x32x32
learning-rate 0.05
conv 4 5x5 stride 2 no-bias
bn
relu
maxpool 2x2
linear classes
)";

class NetworkProblem : public testing::Test {
 protected:
  static TrialOptions options(const char* protocol) {
    TrialOptions o;
    o.protocol = find_protocol(protocol);
    o.groups = 2;
    o.workers = 4;
    o.batch = 8;
    o.iterations = kIterations;
    o.every = 5;
    o.conditions = kRough;
    return o;
  }
  TrialResult tried(const TrialOptions& o) const {
    const auto result = run_trial(problem, {}, o);
    if (!result) ADD_FAILURE() << o.protocol->name << ": " << result.error().message;
    return result ? result.value() : TrialResult{};
  }

  static Network build(const Data& data) {
    NetworkDescription description = parse_network(kNetwork, "small.net").value();
    const Shape image = description.cropped(data.train->image);
    return Network::build(std::move(description), {.image = image, .classes = data.train->classes})
        .value();
  }

  const Data data = open_data("synthetic:train=128,test=64").value();
  const Network network = build(data);
  const Problem problem = network_problem({}, network, data).value();
};

TEST_F(NetworkProblem, TheSameSeedGivesTheSameBits) {  // NP-1, VT-1
  TrialOptions o = options("lsgd");
  o.settings = {{"tau", "2"}, {"tau_global", "4"}};
  const TrialResult a = tried(o), b = tried(o);
  EXPECT_EQ(a.point, b.point);
  EXPECT_EQ(a.objectives, b.objectives);
  EXPECT_EQ(a.samples.back().bytes, b.samples.back().bytes);
  o.seed = 2;
  EXPECT_NE(tried(o).point, a.point);
}

// The point and its loss, computed by hand from the same engine.
TEST_F(NetworkProblem, PlainSgdIsStepByStepWhatItsRuleSays) {
  const TrialResult trial = tried(options("sgd"));
  EXPECT_EQ(trial.learning_rate, network.learning_rate());
  RunOptions run;
  run.mode = Mode::barrier;
  run.deterministic = true;
  run.workers = 1;
  run.batch = 8;
  const auto training = Training::create(run, network, data).value();
  const auto engine = training->engine(0);
  std::vector<float> x(training->initial().begin(),
                       training->initial().begin() + static_cast<long>(training->dimension()));
  std::vector<float> g(x.size());
  const double before = training->loss(x);
  Rng rng(1);
  for (std::uint64_t step = 0; step < kIterations; ++step) {
    engine->gradient({x.data(), x.size()}, {g.data(), g.size()}, rng);
    const auto rate = static_cast<float>(network.learning_rate());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] -= rate * g[i];
  }
  ASSERT_EQ(trial.point.size(), x.size());
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(trial.point[i], x[i], 1e-5) << i;
  EXPECT_DOUBLE_EQ(trial.samples.front().objective, before);
  EXPECT_NEAR(trial.samples.back().objective, training->loss(x), 1e-4);
  EXPECT_NEAR(*trial.samples.back().test_error, training->test_error(x).value(), 1e-9);
  EXPECT_LT(trial.samples.back().objective, before);
}

TEST_F(NetworkProblem, EveryProtocolTakesItsStepsAndIsTested) {
  for (const Protocol* protocol : protocols()) {
    const TrialResult trial = tried(options(protocol->name.data()));
    ASSERT_FALSE(trial.samples.empty()) << protocol->name;
    const Sample& end = trial.samples.back();
    EXPECT_EQ(end.iterations, kIterations) << protocol->name;
    EXPECT_TRUE(std::isfinite(end.objective)) << protocol->name;
    ASSERT_TRUE(end.test_error) << protocol->name;
    EXPECT_GE(*end.test_error, 0) << protocol->name;
    EXPECT_LE(*end.test_error, 1) << protocol->name;
  }
}

TEST_F(NetworkProblem, ALossHasTheRunningStatisticsOfItsOwnPoint) {
  const auto ground = problem.open({.batch = 8}).value();
  std::vector<float> x(problem.dimension);
  ground->begin({0}, {x.data(), x.size()});
  const std::vector<double> first = ground->numbers({x.data(), x.size()});
  std::vector<double> scaled = first;
  for (double& value : scaled) value *= 1.5;
  const double loss = ground->value(first);
  EXPECT_TRUE(std::isfinite(loss));
  EXPECT_NE(ground->value(scaled), loss);
  EXPECT_EQ(ground->value(first), loss);
}

}  // namespace
}  // namespace paceline
