// Memories in one block: PL-1 and PL-2 on lives drawn at random.
#include "paceline/compute/placement_internal.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "paceline/compute/random.h"

namespace paceline {
namespace {

bool live_at_once(const Lifetime& a, const Lifetime& b) {
  return a.first <= b.last && b.first <= a.last;
}

TEST(Placement, NothingThatIsLiveAtOnceSharesBytes) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Rng rng(seed);
    std::vector<Lifetime> lives(1 + rng.below(40));
    std::size_t sum = 0, largest = 0;
    for (Lifetime& life : lives) {
      life.first = rng.below(30);
      life.last = life.first + rng.below(10);
      life.bytes = rng.below(5) == 0 ? 0 : 1 + rng.below(5000);
      sum += (life.bytes + 255) / 256 * 256;
      largest = std::max(largest, life.bytes);
    }
    const Placement placement = place(lives, 256);
    EXPECT_LE(placement.bytes, sum) << "seed " << seed;
    EXPECT_GE(placement.bytes, largest) << "seed " << seed;
    for (std::size_t a = 0; a < lives.size(); ++a) {
      EXPECT_EQ(placement.offsets[a] % 256, 0u);
      EXPECT_LE(placement.offsets[a] + lives[a].bytes, placement.bytes);
      for (std::size_t b = 0; b < a; ++b)
        if (live_at_once(lives[a], lives[b]) && lives[a].bytes > 0 && lives[b].bytes > 0) {
          EXPECT_TRUE(placement.offsets[a] + lives[a].bytes <= placement.offsets[b] ||
                      placement.offsets[b] + lives[b].bytes <= placement.offsets[a])
              << "seed " << seed << ": " << a << " and " << b;
        }
    }
  }
}

TEST(Placement, WhatIsNeverLiveAtOnceShares) {
  const std::vector<Lifetime> lives = {{1000, 0, 1}, {1000, 2, 3}, {1000, 4, 5}};
  EXPECT_EQ(place(lives, 64).bytes, 1024u);
  EXPECT_EQ(place({}, 64).bytes, 0u);
}

}  // namespace
}  // namespace paceline
