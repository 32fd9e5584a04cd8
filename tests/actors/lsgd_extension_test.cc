// LSGD's Extension, pulls to stored leaders after every step, against a loop without port or driver.
#include "simulated_run.h"

namespace paceline {
namespace {

constexpr double kRate = 0.05;
constexpr Place kPlace{2, 3};

/// |x - target|^2 / 2 with a loss that says who leads: the last of a group, and of all.
struct Bowl final : GradientEngine {
  explicit Bowl(Rank rank) : rank_(rank) {}
  double gradient(ConstVector at, Vector g, Rng&) override {
    for (std::size_t i = 0; i < g.count; ++i)
      elements<double>(g)[i] = elements<double>(at)[i] - static_cast<double>(rank_ + i);
    return 10.0 - rank_;
  }
  Rank rank_;
};

struct Strengths {
  double pull, pull_global, proximal, proximal_global;
};

VirtualRun extension(const Strengths& s, const char* mode) {
  VirtualRun run = plan("lsgd", kPlace,
                        {{"tau", "4"},
                         {"tau_global", "8"},
                         {"score_window", "1"},
                         {"mode", mode},
                         {"lockstep", mode == std::string("barrier") ? "true" : "false"},
                         {"pull", show_setting(s.pull)},
                         {"pull_global", show_setting(s.pull_global)},
                         {"proximal", show_setting(s.proximal)},
                         {"proximal_global", show_setting(s.proximal_global)}});
  run.sgd.learning_rate = kRate;
  run.engine = [](Rank r) { return std::make_unique<Bowl>(r); };
  return run;
}

/// x <- x - c (x - z)
void pull(Values& x, double c, const Values& z) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] -= c * (x[i] - z[i]);
}

/// Steps, then pulls to what was stored, the global leader first; every 4 steps the group's
/// leader, every 8 the global one.
std::vector<Values> by_hand(const VirtualRun& run, const Strengths& s) {
  const Rank workers = kPlace.workers();
  std::vector<Values> x, local(workers), global(workers);
  for (Rank r = 0; r < workers; ++r) x.push_back(initial(run, {r}));
  for (std::uint64_t t = 1; t <= run.steps; ++t) {
    for (Rank r = 0; r < workers; ++r) {
      for (std::size_t i = 0; i < x[r].size(); ++i)
        x[r][i] -= kRate * (x[r][i] - static_cast<double>(r + i));
      if (!global[r].empty() && s.proximal_global > 0) pull(x[r], s.proximal_global / 8, global[r]);
      if (!local[r].empty() && s.proximal > 0) pull(x[r], s.proximal / 4, local[r]);
    }
    if (t % 4 != 0) continue;
    const std::vector<Values> offered = x;
    for (Rank r = 0; r < workers; ++r) {
      const Rank first = r / kPlace.per_group * kPlace.per_group;
      const Rank leader = first + kPlace.per_group - 1, best = workers - 1;
      if (r != leader) pull(x[r], s.pull, offered[leader]);
      local[r] = offered[leader];
      if (t % 8 != 0) continue;
      if (r != best) pull(x[r], s.pull_global, offered[best]);
      global[r] = offered[best];
    }
  }
  return x;
}

TEST(LsgdExtension, IsTheLoopByHandBitForBitWithAndWithoutStoredLeadersInBothModes) {
  for (const Strengths s : {Strengths{0.1, 0.2, 0, 0}, Strengths{0.1, 0.2, 0.3, 0.4},
                            Strengths{0.1, 0.2, 0.3, 0}, Strengths{0, 0, 0.3, 0.4}}) {
    for (const char* mode : {"barrier", "nonblocking"}) {
      const VirtualRun run = extension(s, mode);
      VirtualTime time = ride(run);
      EXPECT_EQ(all_x(time, run), by_hand(run, s))
          << mode << " " << s.pull << " " << s.proximal << " " << s.proximal_global;
    }
  }
}

TEST(LsgdExtension, StoredLeadersAreNotReadAgain) {  // LS-7
  for (const char* mode : {"barrier", "nonblocking"}) {
    const VirtualRun without = extension({0.1, 0.2, 0, 0}, mode),
                     with = extension({0.1, 0.2, 0.3, 0.4}, mode);
    VirtualTime a = ride(without), b = ride(with);
    EXPECT_EQ(a.traffic().read_bytes, b.traffic().read_bytes);
    EXPECT_EQ(a.count("leader_bytes"), b.count("leader_bytes"));
    EXPECT_EQ(a.traffic().message_bytes, b.traffic().message_bytes);
  }
}

// 1.7.8: with distinct losses.
TEST(LsgdExtension, PermutingRanksPermutesTheResult) {
  constexpr Rank kFrom[] = {2, 0, 3, 1};
  VirtualRun run = extension({0.1, 0.2, 0.3, 0.4}, "barrier");
  run.place = {1, 4};
  const auto from_rank = run.initial;
  VirtualTime plain = ride(run);
  run.engine = [&](Rank r) { return std::make_unique<Bowl>(kFrom[r]); };
  run.initial = [&](Address who, Vector x) {
    from_rank(who.index < 4 ? Address{kFrom[who.index]} : who, x);
  };
  VirtualTime permuted = ride(run);
  const auto before = all_x(plain, run), after = all_x(permuted, run);
  for (Rank r = 0; r < 4; ++r) EXPECT_EQ(after[r], before[kFrom[r]]) << r;
}

TEST(LsgdExtension, EveryWorkerIsFiniteAndEndsAtAnyTiming) {
  VirtualRun run = extension({0.1, 0.2, 0.3, 0.4}, "nonblocking");
  run.conditions = kRough;
  VirtualTime time = ride(run);
  for (const Values& x : all_x(time, run))
    for (const double value : x) EXPECT_TRUE(std::isfinite(value));
}

TEST(LsgdExtension, ElasticAveragingHasNone) {
  for (const char* protocol : {"easgd", "eamsgd", "easgd-sync"})
    EXPECT_FALSE(find_protocol(protocol)->hyper({{"proximal", "0.1"}}, kPlace)) << protocol;
  EXPECT_FALSE(find_protocol("lsgd")->hyper({{"proximal", "1.5"}}, kPlace));
}

}  // namespace
}  // namespace paceline
