// What the tests of protocols share: a plan with least squares, distinct starting points, and ways
// to look at what a run left.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "paceline/actors/simulation/objectives.h"
#include "paceline/actors/simulation/virtual_time.h"

namespace paceline {

inline constexpr std::size_t kDimension = 20;
using Values = std::vector<double>;

/// Stragglers, delays in random amounts, slow links.
inline const Conditions kRough = [] {
  Conditions c;
  c.spread_percent = 150;
  c.local_delay = 5us;
  c.remote_delay = 200us;
  c.jitter_percent = 300;
  c.bytes_per_second = 10'000'000;
  return c;
}();

/// f64 least squares with batches of 4 of 40 rows, 100 steps, plain SGD; a sequential protocol gets
/// one worker.
inline VirtualRun plan(std::string_view protocol, Place place, Settings settings,
                       Conditions conditions = {}) {
  VirtualRun run;
  run.protocol = find_protocol(protocol);
  run.settings = std::move(settings);
  run.place = place;
  run.dimension = kDimension;
  run.math = &vector_math_f64();
  run.sgd = {.learning_rate = 0.02, .momentum = 0, .weight_decay = 0, .form = Momentum::none};
  if (run.protocol && !run.protocol->takes(Momentum::none)) run.sgd.form = Momentum::sutskever;
  if (run.protocol && run.protocol->sequential) run.place = {1, 1};
  run.engine = [](Rank r) {
    return std::make_unique<LeastSquares<double>>(40, kDimension, 4, Rng(7, r));
  };
  run.initial = [](Address who, Vector x) {
    for (std::size_t i = 0; i < x.count; ++i)
      elements<double>(x)[i] = std::sin(1.0 + static_cast<double>(i) + 7.0 * who.index);
  };
  run.conditions = std::move(conditions);
  return run;
}

inline VirtualTime ride(const VirtualRun& run) {
  auto made = VirtualTime::create(run);
  if (!made) ADD_FAILURE() << made.error().message;
  VirtualTime time = std::move(made).value();
  time.run();
  for (std::uint32_t i = 0; i < run.place.roles(); ++i)
    EXPECT_TRUE(time.ended({i})) << run.place.name({i}) << " still waits";
  return time;
}

inline Values values(RoleHost& role, std::string_view name = "x") {
  const auto e = elements<double>(role.vector(name));
  return {e.begin(), e.end()};
}
inline std::vector<Values> all_x(VirtualTime& time, const VirtualRun& run) {
  std::vector<Values> all;
  for (Rank r = 0; r < run.place.workers(); ++r) all.push_back(values(time.worker(r)));
  return all;
}
inline Values initial(const VirtualRun& run, Address who) {
  Values x(run.dimension);
  if (run.initial) run.initial(who, {x.data(), x.size()});
  return x;
}
inline double distance_squared(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

/// All begin where worker 0 does.
inline void begin_together(VirtualRun& run) {
  run.initial = [](Address, Vector x) {
    for (std::size_t i = 0; i < x.count; ++i)
      elements<double>(x)[i] = std::sin(1.0 + static_cast<double>(i));
  };
}
/// What the run leaves as its result: the newest in that slot.
inline Values published(VirtualTime& time, const VirtualRun& run, Address who) {
  Pin pin = time.role(who).slot(kParameters).pin();
  if (!pin) return {};
  const auto e = elements<double>(ConstVector(pin.bytes().data(), run.dimension));
  return {e.begin(), e.end()};
}

/// SGD without port, coroutine or driver.
inline Values plain_sgd(const VirtualRun& run, Rank rank, std::uint64_t steps) {
  Values x = initial(run, {rank}), g(run.dimension), m(run.dimension);
  const Vector vx{x.data(), x.size()}, vg{g.data(), g.size()}, vm{m.data(), m.size()};
  const auto engine = run.engine(rank);
  Rng rng(run.seed, rank);
  for (std::uint64_t t = 0; t < steps; ++t) {
    run.math->look_ahead(run.sgd, vx, vm);
    engine->gradient(vx, vg, rng);
    run.math->update(run.sgd, vx, vm, vg, {});
  }
  return x;
}

/// The optimum of the mean of the workers' objectives, by many exact steps.
inline Values optimum(const VirtualRun& run, double learning_rate, int steps) {
  Values x(run.dimension), g(run.dimension), sum(run.dimension);
  Rng rng(0);
  std::vector<std::unique_ptr<GradientEngine>> engines;
  for (Rank r = 0; r < run.place.workers(); ++r) engines.push_back(run.engine(r));
  for (int t = 0; t < steps; ++t) {
    std::ranges::fill(sum, 0.0);
    for (const auto& engine : engines) {
      engine->gradient({x.data(), x.size()}, {g.data(), g.size()}, rng);
      for (std::size_t i = 0; i < x.size(); ++i)
        sum[i] += g[i] / static_cast<double>(engines.size());
    }
    for (std::size_t i = 0; i < x.size(); ++i) x[i] -= learning_rate * sum[i];
  }
  return x;
}

}  // namespace paceline
