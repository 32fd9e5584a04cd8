// Workers that crash and whose place another takes, in virtual time.

#include "simulated_run.h"
#include "test_seed.h"

namespace paceline {
namespace {

/// Patience is so long that a wait for the dead would show.
VirtualRun long_run(std::string_view protocol, Place place, const Settings& settings = {}) {
  VirtualRun run = plan(protocol, place, settings, kRough);
  run.conditions.patience = 60s;
  return run;
}

std::uint64_t rounds(const VirtualTime& time, const Settings& settings) {
  return time.count(settings.contains("tau_global") ? "global_sync" : "local_sync");
}

TEST(Replacement, WhoeverReturnsAtWhateverMomentNobodyWaitsForeverAndEveryStepIsTaken) {
  Rng rng(test_seed());
  for (int trial = 0; trial < 150; ++trial) {
    const Protocol* protocol = protocols()[trial % protocols().size()];
    const Place wanted{1 + static_cast<std::uint32_t>(rng.below(3)),
                       1 + static_cast<std::uint32_t>(rng.below(4))};
    VirtualRun run = long_run(protocol->name, wanted);
    const Place place = run.place;
    if (protocol->name == "swarm" && rng.below(2)) run.settings.emplace("mode", "barrier");
    if (protocol->name == "lsgd" && rng.below(2)) {
      run.settings.emplace("mode", "barrier");
      run.settings.emplace("lockstep", rng.below(2) ? "true" : "false");
    }
    run.share_steps = rng.below(2);
    run.seed = rng.next();
    for (std::uint64_t crashes = 1 + rng.below(6); crashes > 0; --crashes)
      run.conditions.crashes.push_back(
          {nanoseconds(rng.below(150'000'000)),
           {static_cast<std::uint32_t>(rng.below(place.workers()))},
           nanoseconds(1 + rng.below(rng.below(2) ? 200'000 : 50'000'000))});
    SCOPED_TRACE(testing::Message() << protocol->name << ", trial " << trial << ", " << place.groups
                                    << " x " << place.per_group);
    VirtualTime time = ride(run);  // which expects every role to have ended
    EXPECT_LT(time.now(), 60s);
    EXPECT_TRUE(time.faults().empty()) << time.faults().front();
    if (protocol->name == "diana") continue;  // ends with the first
    EXPECT_EQ(time.steps(), run.steps * place.workers());
    if (run.share_steps) continue;
    for (Rank r = 0; r < place.workers(); ++r) EXPECT_EQ(time.worker(r).steps(), run.steps) << r;
  }
}

// With a ghost in W, or one rider too few, rounds would come at another pace for the rest of the run.
TEST(Replacement, RoundsComeAtThePaceOfThoseWhoRideHoweverOftenSomebodyReturned) {
  for (const Settings& settings :
       {Settings{{"mode", "nonblocking"}}, Settings{{"mode", "barrier"}},
        Settings{{"mode", "barrier"}, {"lockstep", "true"}},
        Settings{{"mode", "nonblocking"}, {"tau", "4"}, {"tau_global", "4"}}}) {
    VirtualRun run = long_run("lsgd", {2, 2}, settings);
    run.steps = 3000;
    for (int i = 1; i <= 20; ++i)
      run.conditions.crashes.push_back(
          {i * 10ms, {static_cast<std::uint32_t>(i % 3)}, i % 2 ? 100us : 4ms});
    VirtualTime time = ride(run);
    EXPECT_TRUE(time.faults().empty()) << time.faults().front();
    // Twenty times at most the steps of one worker since a round are taken back, and four do what
    // five, or three, would have done for a few milliseconds.
    EXPECT_NEAR(static_cast<double>(rounds(time, settings)), 4 * 3000.0 / (4 * 4), 25);
  }
}

TEST(Replacement, WhenTheLeadingWorkerDiesTheNextBestLeadsInTheNextRoundUntilItHasReturned) {
  for (const char* mode : {"barrier", "nonblocking"}) {
    VirtualRun run = long_run("lsgd", {2, 4}, {{"mode", mode}, {"score_window", "40"}});
    run.steps = 800;
    run.engine = [](Rank r) { return std::make_unique<Level<double>>(r == 5 ? 0.1 : 1.0 + r); };
    run.conditions.crashes = {{300ms, {5}, 100ms}};
    VirtualTime time = ride(run);
    std::vector<Rank> before, between, after;
    for (const auto& r : time.records())
      if (const auto* lead = std::get_if<LeaderEvent>(&r.event);
          lead && lead->scope == Scope::global && !lead->final)
        (r.at < 300ms ? before : r.at < 400ms ? between : after).push_back(lead->rank);
    ASSERT_FALSE(before.empty() || between.empty() || after.empty());
    EXPECT_EQ(before.back(), 5u) << mode;
    // The round that was under way may still name it: its slot is there.
    for (std::size_t i = 1; i < between.size(); ++i) EXPECT_EQ(between[i], 0u) << mode;
    EXPECT_NE(after.front(), 5u) << mode << ": a newcomer's window is not full";
    EXPECT_NE(std::ranges::find(after, 5u), after.end()) << mode << ": once it is, it leads again";
  }
}

TEST(Replacement, ANewcomerBeginsWhereTheLeaderIs) {
  for (const char* protocol : {"lsgd", "easgd"}) {
    VirtualRun run = long_run(protocol, {1, 3});
    run.engine = [](Rank r) {
      return std::make_unique<Level<double>>(r);
    };  // x moves by pulls alone
    if (protocol == std::string_view("lsgd")) run.settings.emplace("pull_global", "0");
    if (protocol == std::string_view("easgd")) run.settings.emplace("beta", "0");
    run.conditions.crashes = {{50ms, {2}, 1ms}};
    run.sgd.weight_decay = 0;
    VirtualTime time = ride(run);
    const Address leads = protocol == std::string_view("lsgd") ? Address{0} : run.place.global();
    EXPECT_EQ(values(time.worker(2)), initial(run, leads)) << protocol;
    EXPECT_EQ(values(time.worker(1)), initial(run, {1})) << protocol;
  }
}

TEST(Replacement, EasgdsNewcomersAreDrawnToTheCentreAsEverybody) {
  VirtualRun run = long_run("easgd", {2, 3});
  run.engine = [](Rank) { return std::make_unique<Level<double>>(1); };
  run.steps = 600;
  for (int i = 1; i <= 8; ++i)
    run.conditions.crashes.push_back(
        {i * 20ms, {static_cast<std::uint32_t>(i % 5)}, i % 2 * 3ms + 1us});
  VirtualTime time = ride(run);
  EXPECT_TRUE(time.faults().empty());
  for (const Values& x : all_x(time, run))
    EXPECT_LT(distance_squared(x, values(time.global())), 1e-6);
}

TEST(Replacement, DianaReachesTheOptimumOfAllThoughSomeHaveReturned) {
  VirtualRun run = long_run("diana", {2, 2});
  run.engine = [](Rank r) {
    return std::make_unique<LeastSquares<double>>(40, kDimension, 40, Rng(11, r));
  };
  run.initial = {};
  run.sgd.learning_rate = 0.15;
  run.steps = 6000;
  run.conditions.crashes = {{50ms, {3}, 1ms},
                            {200ms, {0}, 100ms},
                            {210ms, {1}, 2ms},
                            {900ms, {1}, 1us},
                            {901ms, {2}, 1us}};
  VirtualTime time = ride(run);
  EXPECT_LT(distance_squared(values(time.global()), optimum(run, 0.3, 4000)), 1e-20);
}

TEST(Replacement, DianasMemoryIsTheMeanOfTheWorkersWhoeverReturned) {
  Rng rng(test_seed());
  for (int trial = 0; trial < 30; ++trial) {
    VirtualRun run = long_run("diana", {2, 2});
    run.engine = [](Rank r) {
      return std::make_unique<LeastSquares<double>>(40, kDimension, 40, Rng(11, r));
    };
    run.steps = 300;
    for (int i = 0; i < 4; ++i)
      run.conditions.crashes.push_back({nanoseconds(rng.below(400'000'000)),
                                        {static_cast<std::uint32_t>(rng.below(4))},
                                        nanoseconds(1 + rng.below(20'000'000))});
    SCOPED_TRACE(trial);
    VirtualTime time = ride(run);
    EXPECT_TRUE(time.faults().empty()) << time.faults().front();
    Values mean(kDimension);
    double largest = 0;
    for (Rank r = 0; r < 4; ++r) {
      const Values h = values(time.worker(r), "h");
      for (std::size_t i = 0; i < kDimension; ++i)
        mean[i] += h[i] / 4, largest = std::max(largest, std::abs(h[i]));
    }
    EXPECT_GT(largest, 0.1);
    // The round in which the first worker ends is never finished: the others have added a last code
    // to their h that the centre has not, a small one by then.
    EXPECT_LT(distance_squared(mean, values(time.global(), "h")), 1e-4);
  }
}

}  // namespace
}  // namespace paceline
