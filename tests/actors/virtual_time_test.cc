
#include "simulated_run.h"
#include "test_seed.h"

namespace paceline {
namespace {

TEST(VirtualTime, TheSameSeedIsTheSameRunBitForBit) {
  for (const Protocol* protocol : protocols()) {
    VirtualRun run = plan(protocol->name, {2, 3}, {}, kRough);
    run.conditions.patience = 50ms;
    run.conditions.lost_per_million = 10'000;
    if (!protocol->sequential) run.conditions.crashes = {{40ms, {4}}};
    VirtualTime a = ride(run), b = ride(run);
    EXPECT_EQ(all_x(a, run), all_x(b, run)) << protocol->name;
    EXPECT_EQ(a.events(), b.events());
    EXPECT_EQ(a.now(), b.now());
    EXPECT_EQ(a.records().size(), b.records().size());
    run.seed = 2;
    VirtualTime c = ride(run);
    EXPECT_NE(all_x(a, run), all_x(c, run)) << protocol->name;
  }
}

TEST(VirtualTime, EveryProtocolEndsUnderRandomCrashesAndLosses) {
  Rng rng(test_seed());
  for (int trial = 0; trial < 190; ++trial) {
    const Protocol* protocol = protocols()[trial % protocols().size()];
    const Place wanted{1 + static_cast<std::uint32_t>(rng.below(3)),
                       1 + static_cast<std::uint32_t>(rng.below(4))};
    VirtualRun run = plan(protocol->name, wanted, {}, kRough);
    const Place place = run.place;
    if (protocol->name == "lsgd" && rng.below(2)) {
      run.settings.emplace("mode", "barrier");
      run.settings.emplace("lockstep", rng.below(2) ? "true" : "false");
    }
    if (protocol->name == "swarm" && rng.below(2)) run.settings.emplace("mode", "barrier");
    run.conditions.patience = 20ms;
    run.share_steps = rng.below(2);
    run.seed = rng.next();
    run.conditions.lost_per_million = static_cast<std::uint32_t>(rng.below(2) * 30'000);
    for (std::uint64_t crashes = rng.below(4); crashes > 0; --crashes)
      run.conditions.crashes.push_back({nanoseconds(rng.below(100'000'000)),
                                        {static_cast<std::uint32_t>(rng.below(place.roles()))}});
    SCOPED_TRACE(testing::Message() << protocol->name << ", trial " << trial);
    VirtualTime time = ride(run);  // which expects every role to have ended
    EXPECT_LT(time.now(), 1h);
    if (protocol->name == "lsgd" && !run.share_steps)
      for (Rank r = 0; r < place.workers(); ++r) {
        const bool crashed = std::ranges::any_of(run.conditions.crashes,
                                                 [r](const auto& c) { return c.who.index == r; });
        EXPECT_TRUE(crashed || time.worker(r).steps() == run.steps) << "worker " << r;
      }
  }
}

TEST(VirtualTime, AStepTakesItsTimeAndTheClockEndsWithTheLast) {
  VirtualRun run = plan("lsgd", {1, 2}, {});
  run.conditions.step = 3ms;
  EXPECT_EQ(ride(run).now(), 300ms);
}

TEST(VirtualTime, SharedStepsGoToWhoeverIsFast) {
  VirtualRun run = plan("lsgd", {1, 4}, {}, kRough);
  run.share_steps = true;
  run.conditions.spread_percent = 300;
  VirtualTime time = ride(run);
  EXPECT_EQ(time.steps(), 400u);
  std::uint64_t least = ~0ull, most = 0;
  for (Rank r = 0; r < 4; ++r) {
    least = std::min(least, time.worker(r).steps());
    most = std::max(most, time.worker(r).steps());
  }
  EXPECT_LT(least, most);
}

TEST(VirtualTime, TheHorizonCancelsWhatStillWaits) {
  VirtualRun run = plan("lsgd", {1, 2}, {});
  run.conditions.horizon = 10ms;
  auto made = VirtualTime::create(run);
  ASSERT_TRUE(made);
  made.value().run();
  EXPECT_LE(made.value().steps(), 20u);
  EXPECT_FALSE(made.value().ended({0}));
  // Nothing that the cancelled roles held is left pinned.
  Slot slot = made.value().worker(0).slot(kParameters);
  for (int i = 0; i < 5; ++i) {
    auto loan = slot.loan();
    ASSERT_TRUE(loan);
    std::move(*loan).publish();
  }
}

// A message of 16 bytes takes 1.6 ms of a link that carries 10 kB a second, and 12 workers send one a
// millisecond.
TEST(VirtualTime, MessagesAndReadsStandInLineBeforeTheirGroupsLink) {
  VirtualRun run = plan("lsgd", {2, 6}, {});
  VirtualTime free = ride(run);
  EXPECT_EQ(free.traffic().queued, 0ns);
  EXPECT_GT(free.traffic().link_bytes, 0u);
  EXPECT_LT(free.traffic().link_bytes,
            free.traffic().message_bytes + free.traffic().read_bytes);  // some stay in their group
  run.conditions.bytes_per_second = 10'000;
  VirtualTime slow = ride(run);
  EXPECT_GT(slow.traffic().queued, 100ms);
  EXPECT_GE(slow.now(), nanoseconds(slow.traffic().link_bytes / 2 * 100'000));
  run.place = {1, 12};  // no link
  EXPECT_EQ(ride(run).traffic().link_bytes, 0u);
}

TEST(VirtualTime, OneGradientForAllIsTheSameRunBitForBit) {
  for (const Protocol* protocol : protocols()) {
    if (!protocol->gradient_passes) continue;
    Protocol with_its_own = *protocol;
    with_its_own.gradient_passes = false;
    VirtualRun run = plan(protocol->name, {2, 3}, {}, kRough);
    run.clip_norm = 1;
    VirtualTime passing = ride(run);
    run.protocol = &with_its_own;
    VirtualTime own = ride(run);
    EXPECT_EQ(all_x(passing, run), all_x(own, run)) << protocol->name;
    EXPECT_NE(own.worker(0).g().data, own.worker(1).g().data);
  }
}

TEST(VirtualTime, WithoutRecordsFaultsAloneAreKept) {
  VirtualRun run = plan("lsgd", {2, 3}, {}, kRough);
  run.conditions.patience = 20ms;
  run.conditions.partitions = {{20ms, 90ms, 1}};
  VirtualTime all = ride(run);
  run.keep_records = false;
  VirtualTime few = ride(run);
  EXPECT_GT(all.records().size(), few.records().size());
  EXPECT_EQ(few.records().size(), few.faults().size());
  EXPECT_EQ(all.faults(), few.faults());
  EXPECT_EQ(all_x(all, run), all_x(few, run));
}

TEST(VirtualTime, BadSettingsAreAnError) {
  EXPECT_FALSE(VirtualTime::create(plan("lsgd", {1, 2}, {{"tau", "0"}})));
}

}  // namespace
}  // namespace paceline
