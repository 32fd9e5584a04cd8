#include "paceline/actors/simulation/trial.h"

#include <algorithm>
#include <cmath>
#include <exception>

namespace paceline {
namespace {

constexpr Rank kSpread = 64;                         // workers whose own x is looked at in the end
constexpr std::uint64_t kEvery = 50, kSamples = 10;  // iterations between samples, and samples
constexpr double kProgress = 0.99;                   // of the best distance, or gap, so far
constexpr double kFar = 1e6;                         // times the first objective: diverged

class Watch {
 public:
  Watch(Ground& ground, const std::vector<double>& optimum, const VirtualRun& run,
        VirtualTime& time, TrialResult& result, std::uint64_t stagnation)
      : ground_(ground),
        optimum_(optimum),
        run_(run),
        time_(time),
        result_(result),
        stagnation_(stagnation) {}

  /// @return whether it is worth going on
  bool look() {
    Sample s;
    s.virtual_seconds = std::chrono::duration<double>(time_.now()).count();
    for (Rank r = 0; r < run_.place.seats(); ++r)
      s.iterations = std::max(s.iterations, time_.worker(r).steps());
    s.gradients = time_.steps();
    s.bytes = time_.traffic().message_bytes;
    for (std::uint32_t i = 0; i < run_.place.roles(); ++i) s.bytes += time_.moved({i}).received;
    const std::vector<double> x = point();
    s.objective = ground_.value(x);
    if (ground_.tests_cheaply()) s.test_error = ground_.test_error(x);
    double distance = 0;
    for (std::size_t k = 0; k < optimum_.size(); ++k)
      distance += (x[k] - optimum_[k]) * (x[k] - optimum_[k]);
    if (!optimum_.empty()) s.distance_squared = distance;
    if (result_.samples.empty()) first_ = std::abs(s.objective) + 1;
    result_.samples.push_back(s);
    result_.point = x;
    result_.diverged = !std::isfinite(s.objective) || s.objective > kFar * first_;
    return !result_.diverged && progressing(s);
  }

 private:
  /// The distance where it is known, else the objective, has to have shrunk, if by little.
  bool progressing(const Sample& s) {
    const double now = s.distance_squared ? *s.distance_squared : s.objective;
    const bool better = s.distance_squared ? now < kProgress * best_
                                           : now < best_ - 1e-9 * (std::abs(best_) + 1e-300);
    if (better || result_.samples.size() == 1) best_ = now, since_ = s.iterations;
    return stagnation_ == 0 || s.iterations - since_ <= stagnation_;
  }

  std::vector<double> point() {
    const Address at = time_.leading();
    if (at != Address{} && (run_.protocol->has_centre() || run_.protocol->sequential)) {
      const Pin pin = time_.role(at).slot(kParameters).pin();
      if (pin) return ground_.numbers({pin.bytes().data(), run_.dimension});
    }
    if (at != Address{}) return ground_.numbers(time_.role(at).vector("x"));
    std::vector<double> mean(run_.dimension);
    const double n = run_.place.seats();
    for (Rank r = 0; r < run_.place.seats(); ++r) {
      const std::vector<double> x = ground_.numbers(time_.worker(r).vector("x"));
      for (std::size_t k = 0; k < mean.size(); ++k) mean[k] += x[k] / n;
    }
    return mean;
  }

  Ground& ground_;
  const std::vector<double>& optimum_;
  const VirtualRun& run_;
  VirtualTime& time_;
  TrialResult& result_;
  const std::uint64_t stagnation_;
  double first_ = 0, best_ = 0;
  std::uint64_t since_ = 0;  // the iteration of the best
};

Result<TrialResult> attempt(const Problem& problem, const std::vector<double>& optimum,
                            const TrialOptions& o) {
  const bool alone = o.protocol->sequential;
  const std::uint32_t workers = alone ? 1 : o.workers, joining = alone ? 0 : o.joining;
  const std::uint32_t groups = alone ? 1 : o.groups;
  PACELINE_TRY(const std::unique_ptr<Ground> ground, problem.open({.workers = workers,
                                                                   .joining = joining,
                                                                   .alone = alone,
                                                                   .batch = o.batch,
                                                                   .spread = o.spread,
                                                                   .seed = o.seed}));
  VirtualRun run;
  run.protocol = o.protocol;
  run.settings = o.settings;
  run.place = {groups, workers / groups, joining};
  run.dimension = problem.dimension;
  run.math = &ground->math();
  TrialResult result;
  result.learning_rate = o.learning_rate > 0 ? o.learning_rate : problem.learning_rate;
  const bool plain = o.protocol->takes(Momentum::none);
  run.sgd = {.learning_rate = result.learning_rate,
             .momentum = plain ? 0 : o.momentum,
             .weight_decay = 0,
             .form = plain ? Momentum::none : Momentum::sutskever};
  run.engine = [&](Rank r) { return ground->engine(r); };
  run.initial = [&](Address who, Vector x) { ground->begin(who, x); };
  run.steps = o.iterations;
  run.keep_records = false;
  run.seed = o.seed;
  run.conditions = o.conditions;
  if (alone) {
    std::erase_if(run.conditions.crashes, [](const auto& c) { return c.who.index > 0; });
    run.conditions.additions.clear();
    run.conditions.partitions.clear();
  }
  run.conditions.horizon = std::chrono::hours(24 * 365);
  PACELINE_TRY(VirtualTime time, VirtualTime::create(run));
  Watch watch(*ground, optimum, run, time, result, o.stagnation);
  watch.look();
  const std::uint64_t every =
      o.every > 0 ? o.every : std::clamp<std::uint64_t>(o.iterations / kSamples, 1, kEvery);
  time.run(every * o.conditions.step, [&] {
    result.interrupted = o.interrupted && o.interrupted();
    return watch.look() && !result.interrupted;
  });
  if (!result.diverged) watch.look();
  Sample& end = result.samples.back();
  if (!end.test_error) end.test_error = ground->test_error(result.point);
  result.messages = time.traffic().messages;
  result.events = time.events();
  result.faults = time.count("timeout");
  result.link_bytes = time.traffic().link_bytes;
  result.queued_seconds = std::chrono::duration<double>(time.traffic().queued).count();
  for (Rank r = 0; r < std::min(workers, kSpread); ++r)
    result.objectives.push_back(ground->value(ground->numbers(time.worker(r).vector("x"))));
  return result;
}

}  // namespace

Result<TrialResult> run_trial(const Problem& problem, const std::vector<double>& optimum,
                              const TrialOptions& options) {
  try {
    return attempt(problem, optimum, options);
  } catch (const std::exception& e) {  // engines and vectors that there is no memory for
    return fail(std::errc::not_enough_memory, "{}", e.what());
  }
}

}  // namespace paceline
