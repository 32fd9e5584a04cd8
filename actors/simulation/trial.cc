#include "paceline/actors/simulation/trial.h"

#include <algorithm>
#include <cmath>

#include "paceline/actors/simulation/objectives.h"

namespace paceline {
namespace {

constexpr Rank kSpread = 64;          // workers whose own x is looked at in the end
constexpr std::uint64_t kEvery = 50;  // iterations from sample to sample
constexpr double kProgress = 0.99;    // of the best distance, or gap, so far
constexpr double kFar = 1e6;          // times the first objective: diverged

class Watch {
 public:
  Watch(const Problem& problem, const std::vector<double>& optimum, const VirtualRun& run,
        VirtualTime& time, TrialResult& result, std::uint64_t stagnation)
      : problem_(problem),
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
    s.objective = problem_.value(x);
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
      if (pin) return copied({pin.bytes().data(), run_.dimension});
    }
    if (at != Address{}) return copied(time_.role(at).vector("x"));
    std::vector<double> mean(run_.dimension);
    const double n = run_.place.seats();
    for (Rank r = 0; r < run_.place.seats(); ++r) {
      const auto x = elements<double>(ConstVector(time_.worker(r).vector("x")));
      for (std::size_t k = 0; k < mean.size(); ++k) mean[k] += x[k] / n;
    }
    return mean;
  }
  static std::vector<double> copied(ConstVector v) {
    const auto x = elements<double>(v);
    return {x.begin(), x.end()};
  }

  const Problem& problem_;
  const std::vector<double>& optimum_;
  const VirtualRun& run_;
  VirtualTime& time_;
  TrialResult& result_;
  const std::uint64_t stagnation_;
  double first_ = 0, best_ = 0;
  std::uint64_t since_ = 0;  // the iteration of the best
};

}  // namespace

Result<TrialResult> run_trial(const Problem& problem, const std::vector<double>& optimum,
                              const TrialOptions& o) {
  const std::uint32_t workers = o.protocol->sequential ? 1 : o.workers;
  const std::uint32_t groups = o.protocol->sequential ? 1 : o.groups;
  VirtualRun run;
  run.protocol = o.protocol;
  run.settings = o.settings;
  run.place = {groups, workers / groups, o.protocol->sequential ? 0 : o.joining};
  run.dimension = problem.dimension;
  run.math = &vector_math_f64();
  TrialResult result;
  result.learning_rate = o.learning_rate > 0 ? o.learning_rate : 1 / problem.smoothness;
  const bool plain = o.protocol->takes(Momentum::none);
  run.sgd = {.learning_rate = result.learning_rate,
             .momentum = plain ? 0 : o.momentum,
             .weight_decay = 0,
             .form = plain ? Momentum::none : Momentum::sutskever};
  const bool alone = o.protocol->sequential;
  run.engine = [&](Rank r) {
    return alone ? problem.whole_engine(o.batch) : problem.engine(r, o.batch);
  };
  run.initial = [&](Address who, Vector x) {
    Rng rng(o.seed, 1'000'000 + who.index);
    for (double& value : elements<double>(x)) value = problem.convex ? 0 : o.spread * rng.normal();
  };
  run.steps = o.iterations;
  run.keep_records = false;
  run.seed = o.seed;
  run.conditions = o.conditions;
  if (o.protocol->sequential) {
    std::erase_if(run.conditions.crashes, [](const auto& c) { return c.who.index > 0; });
    run.conditions.additions.clear();
    run.conditions.partitions.clear();
  }
  run.conditions.horizon = std::chrono::hours(24 * 365);
  PACELINE_TRY(VirtualTime time, VirtualTime::create(run));
  Watch watch(problem, optimum, run, time, result, o.stagnation);
  watch.look();
  time.run(kEvery * o.conditions.step, [&] {
    result.interrupted = o.interrupted && o.interrupted();
    return watch.look() && !result.interrupted;
  });
  if (!result.diverged) watch.look();
  result.messages = time.traffic().messages;
  result.events = time.events();
  result.faults = time.count("timeout");
  result.link_bytes = time.traffic().link_bytes;
  result.queued_seconds = std::chrono::duration<double>(time.traffic().queued).count();
  for (Rank r = 0; r < std::min(workers, kSpread); ++r)
    result.objectives.push_back(
        problem.value(elements<double>(ConstVector(time.worker(r).vector("x")))));
  return result;
}

}  // namespace paceline
