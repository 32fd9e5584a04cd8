// Mailboxes within one process; mailbox_process_test.cc has them between processes.
#include "paceline/net/mailbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <iostream>
#include <random>
#include <thread>
#include <vector>

#include "net/hunt.h"
#include "net/numbered_letter.h"
#include "paceline/net/arena.h"
#include "paceline/net/arena_layout_internal.h"
#include "test_seed.h"

namespace paceline {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// @param letters  of each mailbox
Arena arena_of(std::initializer_list<std::size_t> letters) {
  ArenaOptions options;
  options.name = "mailbox-test";
  for (const std::size_t capacity : letters) options.mailboxes.push_back({capacity});
  return Arena::create(options).value();
}

/// Mailboxes of which a test can write the words, as the dead would have left them.
class OpenMailboxes {
 public:
  OpenMailboxes(std::initializer_list<std::size_t> letters) : arena_(arena_of(letters)) {
    const int file = shm_open(arena_.segment().c_str(), O_RDWR, 0);
    memory_ = mmap(nullptr, arena_.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    PACELINE_CHECK(memory_ != MAP_FAILED, "cannot map {}", arena_.segment());
    close(file);
  }
  ~OpenMailboxes() { munmap(memory_, arena_.bytes()); }
  OpenMailboxes(const OpenMailboxes&) = delete;
  OpenMailboxes& operator=(const OpenMailboxes&) = delete;

  Arena& arena() { return arena_; }
  Mailbox mailbox() const { return arena_.mailbox(0); }
  MailboxWords& words(std::size_t index = 0) const {
    return static_cast<ArenaHeader*>(memory_)->mailbox(index);
  }

  /// What `sender` leaves when it dies after its claim. @return the place
  MailboxPlace& leave_claim(SenderId sender, bool tail_moved, std::size_t index = 0) const {
    MailboxWords& box = words(index);
    const std::uint64_t number = box.tail.load();
    box.place(number).state = encode_place(box.turn(number), sender, PlacePhase::claimed);
    if (tail_moved) box.tail = number + 1;
    return box.place(number);
  }

  void wait_until_asleep() const {
    while ((words().bell.load() & kAsleep) == 0) std::this_thread::yield();
    std::this_thread::sleep_for(milliseconds(20));
  }

 private:
  Arena arena_;
  void* memory_;
};

bool send(Mailbox mailbox, std::uint32_t number, SenderId sender = 0) {
  return mailbox.send(sender, numbered_letter(sender, 0, number));
}

/// The next letter's number, or -1 when there is none.
int take(Mailbox mailbox) {
  Letter letter;
  if (!mailbox.take(letter)) return -1;
  EXPECT_TRUE(is_whole(letter));
  return static_cast<int>(letter.part);
}

TEST(Mailbox, LettersComeWholeAndInTheOrderSent) {
  const Arena arena = arena_of({8});
  const Mailbox mailbox = arena.mailbox(0);
  EXPECT_EQ(mailbox.capacity(), 8u);
  EXPECT_EQ(take(mailbox), -1);
  for (std::uint32_t i = 0; i < 5; ++i) EXPECT_TRUE(send(mailbox, i, 3));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(take(mailbox), i);
  EXPECT_EQ(take(mailbox), -1);
}

TEST(Mailbox, FullOneRefusesAndCountsUntilOneIsTaken) {
  const Arena arena = arena_of({4});
  const Mailbox mailbox = arena.mailbox(0);
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_TRUE(send(mailbox, i));
  EXPECT_EQ(mailbox.refused(), 0u);
  EXPECT_FALSE(send(mailbox, 9));
  EXPECT_FALSE(send(mailbox, 9, 7));
  EXPECT_EQ(mailbox.refused(), 2u);
  EXPECT_EQ(take(mailbox), 0);
  EXPECT_TRUE(send(mailbox, 4));
  EXPECT_FALSE(send(mailbox, 9));
  for (int i = 1; i < 5; ++i) EXPECT_EQ(take(mailbox), i);
  EXPECT_EQ(take(mailbox), -1);
  EXPECT_EQ(mailbox.refused(), 3u);
}

TEST(Mailbox, MailboxesOfAnArenaAreApart) {
  const Arena arena = arena_of({2, 64, 2});
  for (std::uint32_t i = 0; i < 3; ++i) {
    while (send(arena.mailbox(i), i)) continue;
    EXPECT_EQ(arena.mailbox(i).refused(), 1u);
  }
  for (int i = 0; i < 3; ++i) {
    for (std::size_t n = 0; n < arena.mailbox(i).capacity(); ++n)
      EXPECT_EQ(take(arena.mailbox(i)), i);
    EXPECT_EQ(take(arena.mailbox(i)), -1);
  }
}

TEST(MailboxDeathTest, SenderBeyondTheLastNumberAborts) {
  const Arena arena = arena_of({2});
  EXPECT_TRUE(send(arena.mailbox(0), 0, kMostSenders - 1));
  EXPECT_EQ(take(arena.mailbox(0)), 0);
  EXPECT_DEATH(send(arena.mailbox(0), 0, kMostSenders), "numbers end at");
}

// Random single-threaded sequences against a queue, over many turns of few places.
TEST(Mailbox, RandomSequencesAreThoseOfABoundedQueue) {
  std::mt19937_64 random(test_seed());
  for (const std::size_t letters : {2, 4, 32}) {
    const Arena arena = arena_of({letters});
    const Mailbox mailbox = arena.mailbox(0);
    std::deque<int> queue;
    std::uint64_t refused = 0;
    std::uint32_t number = 0;
    for (int turn = 0; turn < 20'000; ++turn) {
      const bool sending = random() % 100 < (turn / 100 % 2 == 0 ? 60 : 40);
      if (sending) {
        const auto sender = static_cast<SenderId>(random() % kMostSenders);
        const bool sent = send(mailbox, number, sender);
        ASSERT_EQ(sent, queue.size() < letters);
        if (sent) queue.push_back(static_cast<int>(number++));
        refused += sent ? 0 : 1;
      } else {
        ASSERT_EQ(take(mailbox), queue.empty() ? -1 : queue.front());
        if (!queue.empty()) queue.pop_front();
      }
      ASSERT_EQ(mailbox.refused(), refused);
    }
  }
}

// Under ThreadSanitizer it hunts for races as well.
TEST(Mailbox, ManyThreadsLoseAndTearAndReorderNothing) {
  constexpr SenderId kSenders = 4;
  for (const std::size_t letters : {2, 16, 1024}) {
    const Arena arena = arena_of({letters});
    const Mailbox mailbox = arena.mailbox(0);
    std::atomic<bool> stop = false;
    std::vector<std::uint32_t> sent(kSenders, 0);
    const auto write = [&](SenderId sender) {
      while (!stop)
        if (send(mailbox, sent[sender], sender))
          ++sent[sender];
        else
          std::this_thread::yield();
    };
    std::vector<std::thread> senders;
    for (SenderId sender = 0; sender < kSenders; ++sender) senders.emplace_back(write, sender);
    std::vector<std::uint32_t> received(kSenders, 0);
    std::uint64_t wrong = 0;
    const auto read = [&](const Letter& letter) {
      wrong += !is_whole(letter) || letter.part != received[letter.from];
      ++received[letter.from];
    };
    Letter letter;
    const auto end = std::chrono::steady_clock::now() + hunt_time() / 3;
    for (int turn = 0; std::chrono::steady_clock::now() < end; ++turn)
      if (turn % 2 == 0 ? mailbox.take(letter) : mailbox.wait(letter, milliseconds(1)))
        read(letter);
    stop = true;
    for (std::thread& sender : senders) sender.join();
    while (mailbox.take(letter)) read(letter);
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(received, sent);
    for (const std::uint32_t count : received) EXPECT_GT(count, 0u);
    std::cout << letters << " places: " << mailbox.refused() << " refused, received "
              << received[0] + received[1] + received[2] + received[3] << std::endl;
  }
}

// ---- Waiting: a wake-up that is lost shows as a test that never ends ----

TEST(Mailbox, WaitGivesUpWhenItsTimeHasPassed) {
  const Arena arena = arena_of({2});
  Letter letter;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(arena.mailbox(0).wait(letter, milliseconds(20)));
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(20));
  EXPECT_FALSE(arena.mailbox(0).wait(letter, nanoseconds(0)));
  EXPECT_FALSE(arena.mailbox(0).wait(letter, nanoseconds(-1)));
  send(arena.mailbox(0), 5);
  EXPECT_TRUE(arena.mailbox(0).wait(letter, nanoseconds(0)));
  EXPECT_EQ(letter.part, 5u);
}

TEST(Mailbox, LetterWakesASleeper) {
  const OpenMailboxes open{4};
  std::thread sender([&] {
    open.wait_until_asleep();
    send(open.mailbox(), 8);
  });
  Letter letter;
  EXPECT_TRUE(open.mailbox().wait(letter, nanoseconds::max()));
  EXPECT_EQ(letter.part, 8u);
  sender.join();
  EXPECT_EQ(open.words().bell.load(), 0u);
}

TEST(Mailbox, CallWakesASleeperWithNothing) {
  const OpenMailboxes open{4};
  std::thread caller([&] {
    open.wait_until_asleep();
    open.mailbox().wake();
  });
  Letter letter;
  EXPECT_FALSE(open.mailbox().wait(letter, nanoseconds::max()));
  caller.join();
  send(open.mailbox(), 1);
  EXPECT_TRUE(open.mailbox().wait(letter, hours(1)));
}

TEST(Mailbox, CallBeforeAWaitIsAnsweredByTheNextOneAfterItsLetters) {
  const Arena arena = arena_of({4});
  const Mailbox mailbox = arena.mailbox(0);
  Letter letter;
  send(mailbox, 0);
  mailbox.wake();
  mailbox.wake();
  EXPECT_TRUE(mailbox.wait(letter, hours(1)));
  EXPECT_FALSE(mailbox.wait(letter, hours(1)));
  std::thread sender([&] {
    std::this_thread::sleep_for(milliseconds(20));
    send(mailbox, 1);
  });
  EXPECT_TRUE(mailbox.wait(letter, hours(1))) << "two calls are one";
  sender.join();
}

// Letters that come while the receiver falls asleep, at every moment of that.
TEST(Mailbox, NoWakeUpIsLost) {
  const auto seed = test_seed();
  const Arena arena = arena_of({2, 2});
  std::atomic<bool> stop = false;
  const auto answer = [&] {
    std::mt19937_64 random(seed);
    Letter letter;
    while (arena.mailbox(0).wait(letter, hours(1))) {
      const auto until = std::chrono::steady_clock::now() + nanoseconds(random() % 20'000);
      while (std::chrono::steady_clock::now() < until) continue;
      arena.mailbox(1).send(0, letter);
    }
  };
  std::thread other(answer);
  Letter letter;
  std::uint32_t trips = 0;
  const auto end = std::chrono::steady_clock::now() + hunt_time();
  for (; std::chrono::steady_clock::now() < end; ++trips) {
    ASSERT_TRUE(send(arena.mailbox(0), trips));
    ASSERT_TRUE(arena.mailbox(1).wait(letter, hours(1)));
    ASSERT_EQ(letter.part, trips);
  }
  arena.mailbox(0).wake();
  other.join();
  std::cout << trips << " round trips" << std::endl;
}

// ---- The dead, at each step of mailbox.cc ----

TEST(Mailbox, ClaimOfADeadSenderHoldsTheReceiverAndNobodyElseUntilItIsCleared) {
  for (const bool tail_moved : {false, true}) {
    const OpenMailboxes open{4};
    const Mailbox mailbox = open.mailbox();
    EXPECT_TRUE(send(mailbox, 0));
    MailboxPlace& place = open.leave_claim(9, tail_moved);
    place.letter = numbered_letter(9, 0, 77);
    place.letter.payload[100] = std::byte{1};  // half-written
    EXPECT_TRUE(send(mailbox, 1));
    EXPECT_TRUE(send(mailbox, 2));
    EXPECT_FALSE(send(mailbox, 9)) << "the claim takes a place";
    EXPECT_EQ(take(mailbox), 0);
    EXPECT_EQ(take(mailbox), -1);
    EXPECT_EQ(mailbox.clear_claims(8), 0u) << "another sender's";
    EXPECT_EQ(take(mailbox), -1);
    EXPECT_EQ(mailbox.clear_claims(9), 1u);
    EXPECT_EQ(mailbox.clear_claims(9), 0u);
    EXPECT_EQ(take(mailbox), 1);
    EXPECT_EQ(take(mailbox), 2);
    EXPECT_EQ(take(mailbox), -1);
    for (std::uint32_t i = 3; i < 20; ++i) {
      EXPECT_TRUE(send(mailbox, i, 9));
      EXPECT_EQ(take(mailbox), static_cast<int>(i));
    }
  }
}

TEST(Mailbox, ReceiverPassesADroppedClaimBeforeAnybodyMovedTheTail) {
  const OpenMailboxes open{2};
  const Mailbox mailbox = open.mailbox();
  for (std::uint32_t i = 0; i < 10; ++i) {
    open.leave_claim(9, false);
    EXPECT_EQ(mailbox.clear_claims(9), 1u);
    EXPECT_EQ(take(mailbox), -1);
    EXPECT_GT(open.words().head.load(), open.words().tail.load());
    EXPECT_TRUE(send(mailbox, i));
    EXPECT_EQ(take(mailbox), static_cast<int>(i));
  }
}

TEST(Mailbox, ClaimsOfADeadSenderInAllMailboxesAreClearedAtOnce) {
  OpenMailboxes open{2, 4, 2};
  EXPECT_EQ(open.arena().clear_claims(3), 0u);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(send(open.arena().mailbox(i), 0, 3));
  for (std::size_t i = 1; i < 3; ++i) open.leave_claim(3, i == 1, i);
  EXPECT_EQ(open.arena().clear_claims(3), 2u) << "what is written is no claim";
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(take(open.arena().mailbox(i)), 0);
    EXPECT_EQ(take(open.arena().mailbox(i)), -1);
    EXPECT_TRUE(send(open.arena().mailbox(i), 1, 3));
    EXPECT_EQ(take(open.arena().mailbox(i)), 1);
  }
}

TEST(Mailbox, ClearingWakesAReceiverWhomTheDeadSenderDidNot) {
  for (const bool bell_taken : {false, true}) {
    const OpenMailboxes open{4};
    Letter letter;
    std::thread receiver([&] { EXPECT_TRUE(open.mailbox().wait(letter, hours(1))); });
    open.wait_until_asleep();
    MailboxPlace& place = open.leave_claim(9, true);
    place.letter = numbered_letter(9, 0, 7);
    place.state = encode_place(0, 9, PlacePhase::full);
    if (bell_taken) open.words().bell.fetch_and(~kAsleep);
    EXPECT_EQ(open.mailbox().clear_claims(9), 0u);
    receiver.join();
    EXPECT_EQ(letter.part, 7u);
  }
}

TEST(Mailbox, ClearingAClaimAtTheHeadWakesTheReceiverForWhatIsBehind) {
  const OpenMailboxes open{4};
  open.leave_claim(9, true);
  send(open.mailbox(), 6);
  Letter letter;
  std::thread receiver([&] { EXPECT_TRUE(open.mailbox().wait(letter, hours(1))); });
  open.wait_until_asleep();
  EXPECT_EQ(open.mailbox().clear_claims(9), 1u);
  receiver.join();
  EXPECT_EQ(letter.part, 6u);
}

TEST(Mailbox, ReceiverGoesOnWhereADeadOneWas) {
  const OpenMailboxes open{2};
  const Mailbox mailbox = open.mailbox();
  for (std::uint32_t i = 0; i < 10; ++i) {
    EXPECT_TRUE(send(mailbox, 2 * i));
    EXPECT_TRUE(send(mailbox, 2 * i + 1));
    // Died when it had freed the place, before it moved the head.
    const std::uint64_t head = open.words().head.load();
    open.words().place(head).state = free_place(open.words().turn(head) + 1);
    EXPECT_EQ(take(mailbox), static_cast<int>(2 * i + 1));
    EXPECT_EQ(take(mailbox), -1);
  }
}

TEST(Mailbox, ReceiverThatDiedAsleepLeavesABellForOneSender) {
  const OpenMailboxes open{4};
  open.words().bell = kAsleep;
  EXPECT_TRUE(send(open.mailbox(), 0));
  EXPECT_EQ(open.words().bell.load(), 0u);
  EXPECT_EQ(take(open.mailbox()), 0);
}

}  // namespace
}  // namespace paceline
