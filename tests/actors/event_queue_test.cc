#include "paceline/actors/simulation/event_queue.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "paceline/compute/random.h"

namespace paceline {
namespace {

struct Entry {
  std::int64_t at = 0;
  int number = 0;
  bool operator==(const Entry&) const = default;
};

// EQ-2, with many entries of one instant, and pushes between pops and after looks at the first.
TEST(EventQueue, GivesTheEarliestAndOfOneInstantThatWhichCameFirst) {
  for (const std::uint64_t spread : {1ull, 8ull, 1000ull, 1ull << 40}) {
    Rng rng(spread);
    EventQueue<Entry> queue;
    std::vector<Entry> sorted;
    std::int64_t now = 0;
    int number = 0, foretold = 0;
    EXPECT_EQ(queue.earliest(), EventQueue<Entry>::kNever);
    for (int turn = 0; turn < 20'000; ++turn) {
      if (turn < 10'000 && (sorted.empty() || rng.below(5) < 3)) {
        const Entry entry{now + static_cast<std::int64_t>(rng.below(spread)), number++};
        queue.push(entry);
        sorted.insert(std::ranges::upper_bound(sorted, entry.at, {}, &Entry::at), entry);
      }
      if (sorted.empty() || (turn < 10'000 && rng.below(2))) continue;
      ASSERT_EQ(queue.earliest(), sorted.front().at);
      ASSERT_EQ(queue.pop([&](const Entry&, bool) { ++foretold; }), sorted.front());
      now = sorted.front().at;
      sorted.erase(sorted.begin());
      ASSERT_EQ(queue.empty(), sorted.empty());
    }
    EXPECT_TRUE(queue.empty());
    EXPECT_GT(foretold, 0);
  }
}

TEST(EventQueueDeathTest, RefusesWhatIsOver) {
  EventQueue<Entry> queue;
  queue.push({5, 0});
  queue.pop([](const Entry&, bool) {});
  EXPECT_DEATH(queue.push({4, 1}), "is over");
}

}  // namespace
}  // namespace paceline
