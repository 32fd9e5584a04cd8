// LSGD when things go wrong: crashes, lost messages, readers that hold on.
#include <gmock/gmock.h>

#include "simulated_run.h"

namespace paceline {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

VirtualRun long_run(std::string_view mode) {
  VirtualRun run = plan("lsgd", {2, 4}, {{"mode", std::string(mode)}}, kRough);
  run.conditions.patience = 20ms;
  if (mode == "barrier") run.settings["lockstep"] = std::string("true");
  run.steps = 1000;
  return run;
}

TEST(LsgdFaults, TheRestGoesOnWhenWorkersCrash) {
  for (const char* mode : {"barrier", "nonblocking"}) {
    VirtualRun run = long_run(mode);
    run.conditions.patience = 5s;
    run.conditions.crashes = {{100ms, {1}}, {333ms, {6}}};
    VirtualTime time = ride(run);
    for (const Rank r : {0, 2, 3, 4, 5, 7}) EXPECT_EQ(time.worker(r).steps(), 1000u) << mode;
    EXPECT_LT(time.worker(1).steps(), 110u);
    EXPECT_EQ(time.count("timeout"), 0u) << mode << ": a crash is told, nobody waits for the dead";
    // Rounds go on at the pace of those who ride: about steps / tau_G.
    EXPECT_NEAR(static_cast<double>(time.count("global_sync")), 1000.0 / 16, 2) << mode;
  }
}

TEST(LsgdFaults, TheCrashOfTheLeaderMakesTheNextBestLead) {
  for (const char* mode : {"barrier", "nonblocking"}) {
    VirtualRun run = long_run(mode);
    run.steps = 200;
    run.engine = [](Rank r) { return std::make_unique<Level<double>>(r == 5 ? 0.1 : 1.0 + r); };
    run.conditions.crashes = {{100ms, {5}}};
    VirtualTime time = ride(run);
    Rank at_first = kNobody, at_last = kNobody;
    for (const auto& r : time.records())
      if (const auto* lead = std::get_if<LeaderEvent>(&r.event);
          lead && lead->scope == Scope::global && lead->rank != kNobody) {
        if (at_first == kNobody) at_first = lead->rank;
        at_last = lead->rank;
      }
    EXPECT_EQ(at_first, 5u) << mode;
    EXPECT_EQ(at_last, 0u) << mode;
  }
}

TEST(LsgdFaults, WorkersWhoseGroupLeaderIsGoneRideAlone) {
  for (const char* mode : {"barrier", "nonblocking"}) {
    VirtualRun run = long_run(mode);
    run.steps = 200;
    run.conditions.crashes = {{50ms, run.place.leader(1)}};
    VirtualTime time = ride(run);
    for (Rank r = 0; r < 8; ++r) EXPECT_EQ(time.worker(r).steps(), 200u) << mode;
  }
}

TEST(LsgdFaults, LostMessagesDelayButDoNotStop) {
  for (const char* mode : {"barrier", "nonblocking"}) {
    VirtualRun run = long_run(mode);
    run.steps = 400;
    run.conditions.lost_per_million = 20'000;
    VirtualTime time = ride(run);
    for (Rank r = 0; r < 8; ++r) EXPECT_EQ(time.worker(r).steps(), 400u) << mode;
    EXPECT_GT(time.count("global_sync"), 10u) << mode;
    EXPECT_GT(time.count("pull"), 10u) << mode;
  }
}

// A group whose leader is gone without a word sends no candidate; the others' steps keep coming.
TEST(LsgdFaults, AnElectionEndsInTimeThoughOthersKeepTalking) {
  VirtualRun run = long_run("nonblocking");
  run.conditions.crashes = {{100ms, run.place.leader(1)}};
  run.conditions.detection = 10s;
  VirtualTime time = ride(run);
  nanoseconds last{0};
  std::size_t after = 0;
  for (const auto& r : time.records())
    if (const auto* lead = std::get_if<LeaderEvent>(&r.event);
        lead && lead->scope == Scope::global && r.at > 150ms && r.at < 900ms) {
      if (after++ > 0) {
        EXPECT_LT(r.at - last, 100ms) << "a round of half the workers, and 20 ms of patience";
      }
      last = r.at;
    }
  EXPECT_GT(after, 10u);
  EXPECT_THAT(time.faults(), Contains(HasSubstr("waited in vain for a candidate from leader of "
                                                "group 1")));
}

TEST(LsgdFaults, ATimeOutNamesWhoIsMissingTheRoundAndTheLastSignOfLife) {
  VirtualRun run =
      plan("lsgd", {1, 3}, {{"mode", "barrier"}, {"tau", "2"}, {"tau_global", "2"}});
  run.conditions.patience = 50ms;
  run.conditions.crashes = {{21500us, {2}}};
  run.conditions.detection = 10s;  // nobody is told
  VirtualTime time = ride(run);
  EXPECT_THAT(time.faults(), Contains(HasSubstr("round 11: leader of group 0 waited in vain for a "
                                                "score from worker 2 (last heard ")));
  EXPECT_THAT(time.faults(), Contains(HasSubstr("in round 10)")));
}

TEST(LsgdFaults, WhenReadersHoldEveryBufferNothingIsOfferedAndTheRunGoesOn) {
  for (const char* mode : {"barrier", "nonblocking"}) {
    VirtualRun run = plan("lsgd", {1, 2},
                          {{"mode", mode},
                           {"tau", "1"},
                           {"tau_global", "2"},
                           {"score_window", "1"}});
    run.conditions.patience = 10ms;
    run.steps = 40;
    std::vector<Pin> held;
    VirtualTime* running = nullptr;
    struct Reader final
        : GradientEngine {  // after its sixth step, pins whatever worker 0 publishes
      Reader(std::vector<Pin>& h, VirtualTime*& t) : held(h), time(t) {}
      double gradient(ConstVector, Vector g, Rng&) override {
        std::ranges::fill(elements<double>(g), 0.0);
        if (++steps > 6 && held.size() < 20)
          held.push_back(time->worker(0).slot(kParameters).pin());
        return 1;
      }
      std::vector<Pin>& held;
      VirtualTime*& time;
      int steps = 0;
    };
    run.engine = [&](Rank r) -> std::unique_ptr<GradientEngine> {
      if (r == 1) return std::make_unique<Reader>(held, running);
      return std::make_unique<Level<double>>(0.5);
    };
    auto made = VirtualTime::create(run);
    ASSERT_TRUE(made);
    running = &made.value();
    running->run();
    EXPECT_GT(running->count("busy"), 0u) << mode;
    EXPECT_EQ(running->steps(), 80u) << mode;
    EXPECT_TRUE(running->ended({0})) << mode;
    for (const auto& r : running->records())
      if (const auto* score = std::get_if<ScoreEvent>(&r.event)) {
        EXPECT_GT(score->version, 0u);
      }
    held.clear();
  }
}

}  // namespace
}  // namespace paceline
