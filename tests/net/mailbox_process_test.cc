// Mailboxes between processes, any of which is killed at any moment.
#include <gtest/gtest.h>

#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "net/hunt.h"
#include "net/letter_board.h"
#include "net/mailbox_peer.h"
#include "net/numbered_letter.h"
#include "paceline/net/arena.h"
#include "test_seed.h"

namespace paceline {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

Arena arena_of(std::vector<MailboxShape> mailboxes) {
  ArenaOptions options;
  options.name = "mailbox-process-test";
  options.mailboxes = std::move(mailboxes);
  options.board_bytes = sizeof(Board);
  return Arena::create(options).value();
}

/// @param mode  "send", or "tear" for one that dies in the middle of a letter
std::unique_ptr<MailboxPeer> start_sender(const Arena& arena, const std::string& mode,
                                          SenderId sender, std::uint32_t life) {
  return std::make_unique<MailboxPeer>(std::vector<std::string>{
      mode, arena.segment(), std::to_string(sender), std::to_string(life)});
}

/// Checks that each sender's letters come whole and in order, a life after the other, from 0.
class Ledger {
 public:
  /// @return whether this one was right
  bool enter(const Letter& letter) {
    Line& line = lines_[letter.from];
    if (letter.to > line.life) line = {letter.to, 0};
    const bool right = is_whole(letter) && letter.to == line.life && letter.part == line.letters;
    ++line.letters;
    ++all_;
    return right;
  }
  /// How many came in its last life.
  std::uint32_t letters(SenderId sender) const { return lines_.at(sender).letters; }
  std::uint64_t all() const { return all_; }

 private:
  struct Line {
    std::uint32_t life = 0, letters = 0;
  };
  std::map<SenderId, Line> lines_;
  std::uint64_t all_ = 0;
};

TEST(MailboxProcess, RoundTripsWithASleepingPeer) {
  const Arena arena = arena_of({{4}, {4}});
  MailboxPeer peer({"answer", arena.segment()});
  ASSERT_EQ(peer.line(), "answering");
  Letter letter;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(arena.mailbox(0).send(0, numbered_letter(5, 0, i)));
    ASSERT_TRUE(arena.mailbox(1).wait(letter, std::chrono::hours(1)));
    ASSERT_TRUE(is_whole(letter));
    ASSERT_EQ(letter.part, i);
  }
}

TEST(MailboxProcess, SenderThatDiesHalfWayThroughALetterLeavesAClaim) {
  Arena arena = arena_of({{128}});
  const Mailbox mailbox = arena.mailbox(0);
  Letter letter;
  for (std::uint32_t life = 0; life < 20; ++life) {
    ASSERT_EQ(start_sender(arena, "tear", 7, life)->wait(), -SIGKILL);
    ASSERT_TRUE(mailbox.send(1, numbered_letter(1, 0, life)));
    for (std::uint32_t number = 0; mailbox.take(letter); ++number) {
      ASSERT_TRUE(is_whole(letter));
      ASSERT_EQ(letter.from, 7u) << "what was sent later waits behind the claim";
      ASSERT_EQ(letter.part, number);
    }
    ASSERT_EQ(arena.clear_claims(7), 1u);
    ASSERT_TRUE(mailbox.take(letter));
    ASSERT_TRUE(is_whole(letter));
    ASSERT_EQ(letter.from, 1u);
    ASSERT_FALSE(mailbox.take(letter));
  }
}

// Senders that run through, and others that are killed at any moment and replaced under the same
// number. Few places: a claim that was left is soon in everybody's way.
TEST(MailboxProcess, SendersKilledAtAnyMomentHarmNobody) {
  std::mt19937_64 random(test_seed());
  for (const std::size_t letters : {4, 1024}) {
    Arena arena = arena_of({{letters}});
    const Mailbox mailbox = arena.mailbox(0);
    constexpr SenderId kSurvivors = 2, kMortals = 2;
    std::vector<std::unique_ptr<MailboxPeer>> senders;
    std::vector<std::uint32_t> lives(kSurvivors + kMortals, 0);
    for (SenderId i = 0; i < lives.size(); ++i)
      senders.push_back(start_sender(arena, "send", i, 0));
    Ledger ledger;
    Letter letter;
    std::uint64_t kills = 0, left_behind = 0;
    const auto receive = [&](Clock::duration time) {
      const auto until = Clock::now() + time;
      for (int turn = 0; Clock::now() < until; ++turn)
        if ((turn % 2 == 0 ? mailbox.take(letter) : mailbox.wait(letter, microseconds(100))) &&
            !ledger.enter(letter))
          return false;
      return true;
    };
    std::vector<bool> tears(lives.size(), false);
    const auto replace = [&](SenderId mortal) {
      const bool killed = senders[mortal]->kill() == -SIGKILL;
      const bool right = receive(microseconds(random() % 1000));
      left_behind += arena.clear_claims(mortal);
      ++kills;
      tears[mortal] = !tears[mortal];
      const char* mode = tears[mortal] ? "tear" : "send";
      senders[mortal] = start_sender(arena, mode, mortal, ++lives[mortal]);
      return killed && right;
    };
    const auto end = Clock::now() + hunt_time() / 2;
    while (Clock::now() < end || kills < 8) {
      ASSERT_TRUE(receive(microseconds(random() % 10'000))) << "after " << kills << " deaths";
      const SenderId chosen = kSurvivors + static_cast<SenderId>(random() % kMortals);
      for (SenderId mortal = kSurvivors; mortal < lives.size(); ++mortal) {
        const bool due = mortal == chosen && !tears[mortal];
        if (!due && is_running(senders[mortal]->identity())) continue;
        ASSERT_TRUE(replace(mortal)) << "after " << kills << " deaths";
      }
    }
    for (SenderId mortal = kSurvivors; mortal < lives.size(); ++mortal) {
      ASSERT_EQ(senders[mortal]->kill(), -SIGKILL);
      left_behind += arena.clear_claims(mortal);
    }
    board_of(arena).stop = 1;
    // The living find room to end, and every letter of theirs came.
    std::vector<std::uint32_t> sent;
    std::thread collector([&] {
      for (const auto& sender : senders) {
        const std::string line = sender->line();
        sent.push_back(line.empty() ? 0 : static_cast<std::uint32_t>(std::stoul(line)));
        sender->wait();
      }
      mailbox.wake();
    });
    while (mailbox.wait(letter, std::chrono::hours(1))) EXPECT_TRUE(ledger.enter(letter));
    collector.join();
    for (SenderId i = 0; i < kSurvivors; ++i) {
      EXPECT_EQ(ledger.letters(i), sent[i]);
      EXPECT_GT(sent[i], 0u);
    }
    EXPECT_GE(left_behind, (kills - kMortals) / 2) << "who tears a letter leaves a claim";
    std::cout << letters << " places: " << ledger.all() << " letters, " << kills
              << " senders killed, " << left_behind << " claims left behind" << std::endl;
  }
}

TEST(MailboxProcess, StoppedSenderThatGoesOnHasDoneNoHarm) {
  std::mt19937_64 random(test_seed());
  const Arena arena = arena_of({{8}});
  std::vector<std::unique_ptr<MailboxPeer>> senders;
  for (SenderId i = 0; i < 2; ++i) senders.push_back(start_sender(arena, "send", i, 0));
  Ledger ledger;
  Letter letter;
  for (int round = 0; round < 100; ++round) {
    if (round % 2 == 0)
      senders[0]->send(SIGSTOP);
    else
      senders[0]->send(SIGCONT);
    const auto until = Clock::now() + microseconds(random() % 4000);
    while (Clock::now() < until)
      if (arena.mailbox(0).take(letter)) {
        ASSERT_TRUE(ledger.enter(letter));
      }
  }
  do {
    ASSERT_TRUE(arena.mailbox(0).wait(letter, std::chrono::hours(1)));
    ASSERT_TRUE(ledger.enter(letter));
  } while (letter.from != 0);
  for (const auto& sender : senders) EXPECT_EQ(sender->kill(), -SIGKILL);
}

TEST(MailboxProcess, ReceiverKilledAtAnyMomentTakesAtMostOneLetterAlong) {
  std::mt19937_64 random(test_seed());
  const Arena arena = arena_of({{8}});
  const Mailbox mailbox = arena.mailbox(0);
  Board& board = board_of(arena);
  std::uint32_t number = 0;
  std::uint64_t kills = 0;
  for (const auto end = Clock::now() + hunt_time(); Clock::now() < end; ++kills) {
    MailboxPeer receiver({"receive", arena.segment()});
    if (kills % 2 == 0) {  // else it may not even be attached yet
      ASSERT_EQ(receiver.line(), "receiving");
    }
    const auto until = Clock::now() + microseconds(random() % 5000);
    while (Clock::now() < until)
      if (mailbox.send(0, numbered_letter(1, 0, number)))
        ++number;
      else
        std::this_thread::yield();
    ASSERT_EQ(receiver.kill(), -SIGKILL) << "3: one was torn or out of order";
    ++board.deaths;
  }
  Letter letter;
  std::uint64_t next = board.received;
  ASSERT_GT(next, 0u);
  std::uint64_t most_lost = board.deaths;
  while (mailbox.take(letter)) {
    ASSERT_TRUE(is_whole(letter));
    ASSERT_GE(letter.part, next);
    ASSERT_LE(letter.part, next + most_lost);
    next = letter.part + 1;
    most_lost = 0;
  }
  EXPECT_LE(number - next, most_lost);
  std::cout << board.received << " letters, " << kills << " receivers killed" << std::endl;
}

}  // namespace
}  // namespace paceline
