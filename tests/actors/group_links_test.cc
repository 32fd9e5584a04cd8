// Letters and losses between groups' processes; two of them in this one.
#include "paceline/actors/group_links.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

namespace paceline {
namespace {

using namespace std::chrono_literals;

Deadline in_time() { return FabricClock::now() + 60s; }

class GroupLinksTest : public testing::TestWithParam<FabricKind> {
 protected:
  struct Side {
    Side(FabricKind kind, std::uint32_t group, std::size_t letters)
        : arena(make_arena(group, letters)) {
      FabricOptions options;
      options.token = FabricToken::from_text(std::string(64, '7')).value();
      options.layout_hash = 7;
      links = GroupLinks::open(kind, arena, options, 2, [this](std::uint32_t lost, const Error&) {
                ++losses;
                told.set_value(lost);
              }).value();
    }
    static Arena make_arena(std::uint32_t group, std::size_t letters) {
      ArenaOptions options;
      options.name = "group-links-test-" + std::to_string(group);
      options.layout_hash = 7;
      options.slots = {{64}};
      options.mailboxes = {{letters}};
      options.huge_pages = false;
      return Arena::create(options).value();
    }

    Arena arena;
    std::atomic<int> losses{0};
    std::promise<std::uint32_t> told;
    std::unique_ptr<GroupLinks> links;
  };
};

TEST_P(GroupLinksTest, KeepTheOrderAndLoseNothingWhenTheMailboxIsFull) {  // GL-1
  constexpr std::uint32_t kLetters = 300;
  Side here(GetParam(), 0, 2), there(GetParam(), 1, 2);
  Letter letter;
  for (letter.part = 0; letter.part < kLetters / 2; ++letter.part)
    here.links->out(1).send(letter);  // before there is a connection: they wait
  ASSERT_TRUE(here.links->connect(1, there.links->address(), in_time()));
  for (; letter.part < kLetters; ++letter.part) here.links->out(1).send(letter);
  const Mailbox mailbox = there.arena.mailbox(0);
  for (std::uint32_t next = 0; next < kLetters; ++next) {
    Letter got;
    while (!mailbox.wait(got, 1ms)) here.links->flush();  // as a postman does
    ASSERT_EQ(got.part, next);
  }
  while (!here.links->quiet()) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(here.losses.load(), 0);
}

TEST_P(GroupLinksTest, TellALossOnceAndLetNothingWait) {  // GL-2
  Side here(GetParam(), 0, 64);
  auto there = std::make_unique<Side>(GetParam(), 1, 64);
  ASSERT_TRUE(here.links->connect(1, there->links->address(), in_time()));
  there->links.reset();
  auto told = here.told.get_future();
  ASSERT_EQ(told.wait_for(60s), std::future_status::ready);
  EXPECT_EQ(told.get(), 1u);
  here.links->out(1).send(Letter{});
  EXPECT_TRUE(here.links->quiet());
  auto loan = here.arena.slot(0).loan();
  EXPECT_FALSE(here.links->read(1, 0, std::move(*loan), in_time()));
  EXPECT_EQ(here.losses.load(), 1);
}

INSTANTIATE_TEST_SUITE_P(Over, GroupLinksTest,
                         testing::Values(FabricKind::tcp, FabricKind::shared_memory),
                         [](const auto& kind) { return word_of(kind.param); });

}  // namespace
}  // namespace paceline
