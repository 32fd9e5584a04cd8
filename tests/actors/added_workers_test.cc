// Workers that are added to a run, and taken from it, in virtual time.

#include "simulated_run.h"
#include "test_seed.h"

namespace paceline {
namespace {

/// Patience is so long that a wait for somebody who is not there would show.
VirtualRun long_run(std::string_view protocol, Place place, const Settings& settings = {}) {
  VirtualRun run = plan(protocol, place, settings, kRough);
  run.conditions.patience = 60s;
  run.share_steps = true;
  return run;
}

TEST(AddedWorkers, WhoeverComesAndGoesNobodyWaitsForeverAndEveryStepIsTaken) {
  Rng rng(test_seed());
  for (int trial = 0; trial < 100; ++trial) {
    const Protocol* protocol = protocols()[trial % protocols().size()];
    const Place place{1 + static_cast<std::uint32_t>(rng.below(3)),
                      2 + static_cast<std::uint32_t>(rng.below(3)),
                      1 + static_cast<std::uint32_t>(rng.below(5))};
    VirtualRun run = long_run(protocol->name, place);
    if (protocol->sequential) continue;
    if (protocol->name == "lsgd" && rng.below(2)) run.settings.emplace("mode", "barrier");
    run.seed = rng.next();
    for (Rank r = place.workers(); r < place.seats(); ++r)
      run.conditions.additions.push_back({nanoseconds(rng.below(90'000'000)), r});
    // A worker that is removed ends as one that crashes and that nobody replaces.
    if (rng.below(2))
      run.conditions.crashes.push_back({nanoseconds(rng.below(90'000'000)),
                                        {static_cast<std::uint32_t>(rng.below(place.seats()))}});
    SCOPED_TRACE(testing::Message() << protocol->name << ", trial " << trial << ", " << place.groups
                                    << " x " << place.per_group << " + " << place.spare);
    VirtualTime time = ride(run);  // which expects every role to have ended
    EXPECT_LT(time.now(), 60s);
    EXPECT_TRUE(time.faults().empty()) << time.faults().front();
    if (protocol->name == "diana") continue;  // ends with the first
    EXPECT_EQ(time.steps(), run.steps * place.workers());
  }
}

// With an added worker that does not count in W rounds would come too often, with one that counts
// twice too seldom; one that was removed and still counted would slow them, too.
TEST(AddedWorkers, RoundsComeAtThePaceOfThoseWhoRide) {
  for (const char* mode : {"nonblocking", "barrier"}) {
    VirtualRun run = long_run("lsgd", {2, 2, 4}, {{"mode", mode}});
    run.conditions = {};  // all ride at one pace
    run.conditions.patience = 60s;
    run.steps = 3000;
    for (Rank r = 4; r < 8; ++r) run.conditions.additions.push_back({100ms, r});
    for (Rank r = 0; r < 3; ++r) run.conditions.crashes.push_back({600ms, {r}});
    VirtualTime time = ride(run);
    EXPECT_TRUE(time.faults().empty()) << time.faults().front();
    // A round whenever those who ride have taken four steps each: as often as one of them has.
    const double steps = static_cast<double>(time.worker(3).steps());
    EXPECT_NEAR(static_cast<double>(time.count("local_sync")), steps / 4, 0.03 * steps / 4) << mode;
  }
}

TEST(AddedWorkers, BeginWhereTheLeaderIsAndMayLeadOnceTheirWindowIsFull) {
  VirtualRun run = long_run("lsgd", {2, 2, 2}, {{"score_window", "40"}});
  run.steps = 800;
  run.engine = [](Rank r) { return std::make_unique<Level<double>>(r == 5 ? 0.1 : 1.0 + r); };
  run.conditions.additions = {{300ms, 5}};
  VirtualTime time = ride(run);
  std::vector<Rank> before, after;
  for (const auto& r : time.records())
    if (const auto* lead = std::get_if<LeaderEvent>(&r.event);
        lead && lead->scope == Scope::global && !lead->final)
      (r.at < 310ms ? before : after).push_back(lead->rank);
  ASSERT_FALSE(before.empty() || after.empty());
  EXPECT_EQ(before.back(), 0u);
  EXPECT_EQ(after.front(), 0u) << "a newcomer's window is not full";
  EXPECT_EQ(after.back(), 5u);
  EXPECT_GT(time.worker(5).steps(), 0u);
  EXPECT_EQ(time.worker(4).steps(), 0u) << "nobody was added there";
}

// p alpha = beta, however many ride: else many would drive the centre out of bounds.
TEST(AddedWorkers, EasgdsElasticStepIsOneOfThoseWhoRide) {
  VirtualRun run = long_run("easgd", {1, 2, 14}, {{"beta", "1.9"}, {"tau", "1"}});
  run.steps = 4000;
  run.sgd.weight_decay = 0;
  for (Rank r = 2; r < 16; ++r) run.conditions.additions.push_back({100ms, r});
  VirtualTime time = ride(run);
  EXPECT_TRUE(time.faults().empty()) << time.faults().front();
  for (const double c : values(time.global())) EXPECT_LT(std::abs(c), 10);
}

TEST(AddedWorkers, DianasMemoryIsTheMeanOfAllWhoRide) {
  VirtualRun run = long_run("diana", {2, 2, 4});
  run.share_steps = false;
  run.engine = [](Rank r) {
    return std::make_unique<LeastSquares<double>>(40, kDimension, 40, Rng(11, r));
  };
  run.steps = 400;
  run.conditions.additions = {{100ms, 4}, {140ms, 6}, {200ms, 5}};
  run.conditions.crashes = {{170ms, {1}}};
  VirtualTime time = ride(run);
  EXPECT_TRUE(time.faults().empty()) << time.faults().front();
  Values mean(kDimension);
  double largest = 0;
  for (const Rank r : {0, 2, 3, 4, 5, 6}) {
    const Values h = values(time.worker(r), "h");
    for (std::size_t i = 0; i < kDimension; ++i)
      mean[i] += h[i] / 6, largest = std::max(largest, std::abs(h[i]));
  }
  EXPECT_GT(largest, 0.1);
  EXPECT_LT(distance_squared(mean, values(time.global(), "h")), 1e-4);
}

}  // namespace
}  // namespace paceline
