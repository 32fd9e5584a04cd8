#include "paceline/actors/run_clock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace paceline {
namespace {

TEST(RunClock, StandsStillWhileSuspendedAndIsBehindByAsMuchFromThenOn) {
  RunClock clock;
  EXPECT_EQ(clock.now(100), 100);
  clock.suspend(101);
  EXPECT_EQ(clock.now(101), 101);
  EXPECT_EQ(clock.now(150), 101);
  EXPECT_EQ(clock.now(100.5), 100.5) << "who looked at the wall just before";
  clock.go_on(151);
  EXPECT_EQ(clock.now(151), 101);
  EXPECT_EQ(clock.now(153), 103);
  clock.suspend(160);
  clock.go_on(165);
  EXPECT_EQ(clock.now(166), 111);
}

TEST(RunClock, NobodySeesHalfOfAChange) {
  RunClock clock;
  std::atomic<bool> stop{false};
  std::atomic<double> wall{1000};
  std::thread reader([&] {
    while (!stop) {
      const double before = wall.load();
      const double now = clock.now(before);
      // Every suspension below takes all of the time that passes, but for 1 s before each.
      const double most = 1000 + (wall.load() - 1000) / 50 + 2;
      EXPECT_LE(now, most);
    }
  });
  for (int i = 0; i < 20'000; ++i) {
    wall.store(wall.load() + 1);
    clock.suspend(wall.load());
    wall.store(wall.load() + 49);
    clock.go_on(wall.load());
  }
  stop = true;
  reader.join();
  EXPECT_EQ(clock.now(wall.load()), 1000 + 20'000);
}

}  // namespace
}  // namespace paceline
