#include "paceline/actors/pinning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <map>
#include <set>
#include <thread>

namespace paceline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// 2 packages of 64 cores with 2 hardware threads each; eight cores share a cache.
constexpr const char* kServer = "package:2 numanode:1 l3cache:8 core:8 pu:2";

std::vector<Processor> machine(const std::string& synthetic) {
  auto read = imagined_processors(synthetic);
  if (!read) ADD_FAILURE() << read.error().message;
  return read.value();
}
ProcessorShares shares(const std::string& synthetic, const Place& place, unsigned threads) {
  return share_processors(machine(synthetic), place, threads);
}

TEST(Processors, OfAnImaginedMachineLieAsDescribed) {
  const std::vector<Processor> all = machine(kServer);
  ASSERT_EQ(all.size(), 256u);
  std::set<unsigned> cores, caches, nodes, packages;
  for (const Processor& p : all)
    cores.insert(p.core), caches.insert(p.cache), nodes.insert(p.node), packages.insert(p.package);
  EXPECT_EQ(cores.size(), 128u);
  EXPECT_EQ(caches.size(), 16u);
  EXPECT_EQ(nodes.size(), 2u);
  EXPECT_EQ(packages.size(), 2u);
  EXPECT_EQ(all[0].core, all[1].core);
  EXPECT_FALSE(imagined_processors("two cores"));
}

TEST(Processors, AreThoseThatTheThreadMayUse) {
  std::thread([] {
    const std::vector<Processor> all = read_processors().value();
    ASSERT_FALSE(all.empty());
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(all.back().id, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    const std::vector<Processor> left = read_processors().value();
    ASSERT_EQ(left.size(), 1u);
    EXPECT_EQ(left[0].id, all.back().id);
  }).join();
}

TEST(Pinning, TwoWorkersOnTwoCoresHaveOneEach) {
  const ProcessorShares two = shares("core:2 pu:1", {1, 2}, 1);
  EXPECT_THAT(two.seats, ElementsAre(ElementsAre(0), ElementsAre(1)));
  EXPECT_FALSE(two.shared);
  EXPECT_THAT(shares("core:2 pu:1", {1, 1}, 2).seats, ElementsAre(ElementsAre(0, 1)));
}

TEST(Pinning, CoresComeBeforeHardwareThreads) {
  EXPECT_THAT(shares("core:4 pu:2", {1, 2}, 1).seats,
              ElementsAre(ElementsAre(0, 1), ElementsAre(4, 5)));
  EXPECT_THAT(
      shares("core:4 pu:2", {1, 4}, 1).seats,
      ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4, 5), ElementsAre(6, 7)));
  const ProcessorShares eight = shares("core:4 pu:2", {2, 4}, 1);
  EXPECT_FALSE(eight.shared);
  for (Rank rank = 0; rank < 8; ++rank) EXPECT_THAT(eight.seats[rank], ElementsAre(rank));
  EXPECT_THAT(shares("core:2 pu:2", {1, 2}, 2).seats,
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3)))
      << "a team keeps to one core";
}

TEST(Pinning, OnALargeMachineWorkersAreSpreadAndTheirThreadsStayTogether) {
  const std::vector<Processor> all = machine(kServer);
  for (const auto& [workers, threads] : {std::pair{2U, 1U},
                                         {4U, 8U},
                                         {16U, 8U},
                                         {16U, 4U},
                                         {8U, 16U},
                                         {2U, 64U},
                                         {128U, 1U},
                                         {1U, 128U}}) {
    SCOPED_TRACE(testing::Message() << workers << " x " << threads);
    const ProcessorShares made = share_processors(all, {1, workers}, threads);
    EXPECT_FALSE(made.shared);
    std::set<unsigned> taken;
    std::map<unsigned, int> workers_of_package;
    for (const ProcessorIds& ids : made.seats) {
      EXPECT_EQ(ids.size(), 2 * threads) << "whole cores";
      std::set<unsigned> caches, nodes;
      for (const unsigned id : ids) {
        EXPECT_TRUE(taken.insert(id).second) << id << " is two workers'";
        caches.insert(all[id].cache), nodes.insert(all[id].node);
      }
      EXPECT_EQ(caches.size(), std::max(1U, threads / 8));
      EXPECT_EQ(nodes.size(), threads > 64 ? 2u : 1u);
      ++workers_of_package[all[ids[0]].package];
    }
    EXPECT_TRUE(workers == 1 || workers_of_package[0] == workers_of_package[1]);
  }
}

TEST(Pinning, SixteenWorkersHaveACacheEach) {
  const std::vector<Processor> all = machine(kServer);
  std::set<unsigned> caches;
  for (const ProcessorIds& ids : share_processors(all, {4, 4}, 2).seats)
    caches.insert(all[ids[0]].cache);
  EXPECT_EQ(caches.size(), 16u);
}

TEST(Pinning, SeatsThatBeginEmptyTakeWhatIsLeft) {
  const ProcessorShares made = shares("core:4 pu:1", {1, 2, 2}, 1);
  EXPECT_THAT(made.seats,
              ElementsAre(ElementsAre(0), ElementsAre(2), ElementsAre(1), ElementsAre(3)));
  EXPECT_THAT(shares("core:2 pu:1", {1, 2, 2}, 1).seats,
              ElementsAre(ElementsAre(0), ElementsAre(1), ElementsAre(0), ElementsAre(1)));
}

TEST(Pinning, TooManyWorkersShareEvenly) {
  const ProcessorShares four = shares("core:2 pu:1", {1, 4}, 1);
  EXPECT_TRUE(four.shared);
  EXPECT_THAT(four.seats,
              ElementsAre(ElementsAre(0), ElementsAre(0), ElementsAre(1), ElementsAre(1)));
  for (const ProcessorIds& ids : shares("core:2 pu:1", {1, 3}, 1).seats)
    EXPECT_THAT(ids, ElementsAre(0, 1)) << "three on two cores: no fixed share is even";
  for (const ProcessorIds& ids : shares("core:2 pu:1", {1, 2}, 2).seats)
    EXPECT_THAT(ids, ElementsAre(0, 1));
  const std::vector<Processor> all = machine(kServer);
  const ProcessorShares many = share_processors(all, {1, 300}, 1);
  EXPECT_TRUE(many.shared);
  std::map<unsigned, int> load;
  for (const ProcessorIds& ids : many.seats) ++load[all[ids[0]].package];
  EXPECT_EQ(load[0], 150);
  EXPECT_EQ(load[1], 150);
}

TEST(Pinning, SaysWhatIsPinnedWhere) {
  EXPECT_EQ(show_processors({0, 1, 2, 3, 8}), "0-3,8");
  EXPECT_EQ(show_processors({5}), "5");
  const std::string two = show_shares(shares("core:2 pu:1", {1, 2}, 1), {1, 2});
  EXPECT_EQ(two, "pinned to processors: worker 0 to 0, worker 1 to 1");
  EXPECT_THAT(show_shares(shares("core:2 pu:1", {1, 4}, 1), {1, 4}), HasSubstr("too few for all"));
}

TEST(Pinning, AThreadKeepsToItsProcessorsAndSoDoThoseThatItMakes) {
  std::thread([] {
    const std::vector<Processor> all = read_processors().value();
    const unsigned last = all.back().id;
    {
      const PinnedThread pinned({last});
      EXPECT_FALSE(pinned.failure().code) << pinned.failure().message;
      EXPECT_EQ(read_processors().value().size(), 1u);
      std::thread([last] { EXPECT_EQ(sched_getcpu(), static_cast<int>(last)); }).join();
    }
    EXPECT_EQ(read_processors().value().size(), all.size()) << "afterwards as before";
    const PinnedThread nowhere({16000});
    EXPECT_TRUE(nowhere.failure().code);
  }).join();
}

}  // namespace
}  // namespace paceline
