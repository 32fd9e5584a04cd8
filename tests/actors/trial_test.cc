// The lab's ground: files, objectives and their references, compute times, links, whole trials.
#include "paceline/actors/simulation/trial.h"

#include <gmock/gmock.h>

#include <fstream>

#include "paceline/actors/simulation/data_table.h"
#include "simulated_run.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refused(const std::string& text) {
  const TemporaryFolder folder;
  std::ofstream(folder / "data.csv") << text;
  const auto table = read_table(folder / "data.csv");
  return table ? "" : table.error().message;
}

TEST(DataTable, ReadsBothFormsAndNamesTheLineOfWhatIsWrong) {
  const TemporaryFolder folder;
  std::ofstream(folder / "a.csv") << "1, 2,3\n\n-1e-3,+4,5\r\n";
  const auto csv = read_table(folder / "a.csv");
  ASSERT_TRUE(csv) << csv.error().message;
  EXPECT_EQ(csv.value().features, (Values{1, 2, -1e-3, 4}));
  EXPECT_EQ(csv.value().targets, (Values{3, 5}));
  std::ofstream(folder / "a.svm") << "+1 1:0.5 3:2\n-1 2:1\n";
  const auto svm = read_table(folder / "a.svm");
  ASSERT_TRUE(svm) << svm.error().message;
  EXPECT_EQ(svm.value().features, (Values{0.5, 0, 2, 0, 1, 0}));
  EXPECT_EQ(svm.value().targets, (Values{1, -1}));
  EXPECT_THAT(refused("1,2,3\n1,2\n"), AllOf(HasSubstr("line 2"), HasSubstr("2 values")));
  EXPECT_THAT(refused("1,2\nnan,3\n"), AllOf(HasSubstr("line 2"), HasSubstr("'nan'")));
  EXPECT_THAT(refused("1,2\n1,inf\n"), HasSubstr("'inf'"));
  EXPECT_THAT(refused("1,,2\n"), HasSubstr("line 1"));
  EXPECT_THAT(refused("+1 0:1\n"), HasSubstr("'0:1'"));
  EXPECT_THAT(refused(""), HasSubstr("no rows"));
  EXPECT_FALSE(read_table(folder / "absent.csv"));
}

TEST(Problem, GradientsAgreeWithDifferencesAndVanishAtTheReference) {
  for (const std::string& name : objective_names()) {
    ProblemOptions o;
    o.objective = name;
    o.dimension = 6;
    o.workers = 3;
    const auto made = make_problem(o);
    ASSERT_TRUE(made) << name;
    const Problem& problem = made.value();
    Values x(problem.dimension), g(problem.dimension);
    Rng rng(3);
    for (double& value : x) value = rng.normal();
    const auto at = [&](const Values& point, Values& gradient) {
      std::ranges::fill(gradient, 0.0);
      double sum = 0;
      for (const auto& part : problem.parts) sum += part->gradient(point, gradient, 1.0 / 3) / 3;
      return sum;
    };
    EXPECT_DOUBLE_EQ(at(x, g), problem.value(x));
    for (std::size_t k = 0; k < x.size(); ++k) {
      Values up = x, down = x;
      up[k] += 1e-6, down[k] -= 1e-6;
      EXPECT_NEAR(g[k], (problem.value(up) - problem.value(down)) / 2e-6, 1e-6) << name;
    }
    if (!problem.reference) continue;
    const auto best = problem.reference();
    ASSERT_TRUE(best) << name;
    at(best.value(), g);
    for (const double value : g) EXPECT_NEAR(value, 0, 1e-12) << name;
  }
  ProblemOptions unknown;
  unknown.objective = "circle";
  EXPECT_THAT(make_problem(unknown).error().message, HasSubstr("least-squares"));
}

TEST(ComputeTime, ItsSamplersHaveTheMomentsThatTheyShould) {
  Rng rng(1);
  double sum = 0, squares = 0;
  for (int i = 0; i < 20'000; ++i) {
    const double z = static_cast<double>(normal_q16(rng)) / 65536;
    sum += z, squares += z * z;
  }
  EXPECT_NEAR(sum / 20'000, 0, 0.03);
  EXPECT_NEAR(squares / 20'000, 1, 0.03);
  for (const double x : {-3.3, -1.0, -0.25, 0.0, 0.7, 5.5})
    EXPECT_NEAR(static_cast<double>(exp2_q16(static_cast<std::int64_t>(x * 65536))) / 65536,
                std::exp2(x), 1e-3 * std::exp2(x) + 2e-5);
  const ComputeTime slow{.device_percent = {100, 300}};
  EXPECT_EQ(slow.draw(1ms, 3, rng), 3ms);
  const ComputeTime straggling{.straggles_per_million = 1'000'000, .straggle_times = 7, .device_percent = {}};
  EXPECT_EQ(straggling.draw(1ms, 0, rng), 7ms);
}

TEST(Conditions, UnderAllOfThemTheSameSeedIsTheSameRunAndEveryProtocolEnds) {
  for (const Protocol* protocol : protocols()) {
    VirtualRun run = plan(protocol->name, {2, 3}, {}, kRough);
    Conditions& c = run.conditions;
    c.compute = {.shape = TimeShape::log_normal,
                 .deviation_percent = 50,
                 .straggles_per_million = 20'000,
                 .straggle_times = 5,
                 .device_percent = {100, 150}};
    c.reordered_per_million = 50'000;
    if (!protocol->sequential) c.partitions = {{20ms, 60ms, 1}};
    c.patience = 40ms;
    VirtualTime a = ride(run), b = ride(run);
    EXPECT_EQ(all_x(a, run), all_x(b, run)) << protocol->name;
    EXPECT_EQ(a.now(), b.now());
    for (Rank r = 0; r < run.place.workers(); ++r)
      for (const double value : values(a.worker(r))) ASSERT_TRUE(std::isfinite(value));
  }
}

TEST(Conditions, APartitionLosesMessagesAndHoldsReadsUntilItsEnd) {
  VirtualRun run = plan("easgd", {2, 1}, {{"tau", "1"}});
  run.conditions.patience = 10ms;
  VirtualTime whole = ride(run);
  run.conditions.partitions = {{20ms, 60ms, 1}};
  VirtualTime parted = ride(run);
  EXPECT_EQ(whole.count("elastic"), 200u);
  EXPECT_LT(parted.count("elastic"), 200u);
  EXPECT_GT(parted.count("elastic"), 150u);
}

TrialResult tried(const char* protocol, const Problem& problem, Settings settings = {},
                  std::uint64_t iterations = 20'000) {
  TrialOptions o;
  o.protocol = find_protocol(protocol);
  o.settings = std::move(settings);
  o.groups = o.workers = 8;
  o.iterations = iterations;
  const auto optimum = problem.reference();
  const auto result = run_trial(problem, optimum.value(), o);
  EXPECT_TRUE(result) << protocol;
  return result ? result.value() : TrialResult{};
}

// ALGORITHMS 8.4: n = 8, d = 20, L = 4.7, mu = 0.1, heterogeneous, exact local gradients.
TEST(Trial, DianaPasses1e20WhereTernGradAndOneBitQsgdStall) {
  ProblemOptions o;
  o.objective = "quadratic";
  const Problem problem = make_problem(o).value();
  for (const char* norm : {"two", "infinity"})
    for (const bool memories : {true, false}) {
      Settings settings = {{"norm", norm}};
      if (!memories) settings["alpha"] = "0";
      const TrialResult r = tried("diana", problem, settings);
      const double distance = *r.samples.back().distance_squared;
      std::printf("norm %s, %s: %.3g after %llu iterations\n", norm, memories ? "DIANA" : "alpha 0",
                  distance, static_cast<unsigned long long>(r.samples.back().iterations));
      if (memories) {
        EXPECT_LT(distance, 1e-20);
      } else {
        EXPECT_GT(distance, 1e-3);
      }
    }
}

// 5.1, 2.5.6: exact averaging of gradients reaches the optimum; a centre's rest is elsewhere.
TEST(Trial, MinibatchAndSgdReachTheReferenceAndStagnationEndsThem) {
  const Problem problem = make_problem({}).value();
  for (const char* protocol : {"minibatch-sgd", "sgd"}) {
    const TrialResult r = tried(protocol, problem);
    EXPECT_LT(*r.samples.back().distance_squared, 1e-24) << protocol;
    EXPECT_LT(r.samples.back().iterations, 20'000u) << protocol;
    EXPECT_FALSE(r.diverged);
  }
  EXPECT_GT(*tried("easgd-sync", problem).samples.back().distance_squared, 1e-6);
}

TEST(Trial, AStepThatIsTooLongIsReportedAsDivergence) {
  const Problem problem = make_problem({}).value();
  TrialOptions o;
  o.protocol = find_protocol("sgd");
  o.learning_rate = 10 / problem.smoothness;
  const auto result = run_trial(problem, {}, o);
  ASSERT_TRUE(result);
  EXPECT_TRUE(result.value().diverged);
}

}  // namespace
}  // namespace paceline
