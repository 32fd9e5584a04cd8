// The conformance suite: what every fabric does, between two arenas of this process. What happens
// when a peer's process fails is in fabric_faults_test.cc, what strangers may do in
// fabric_strangers_test.cc.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <iostream>
#include <random>
#include <thread>

#include "net/fabric_stage.h"
#include "net/numbered_letter.h"
#include "test_seed.h"

namespace paceline {
namespace {

class FabricTest : public testing::TestWithParam<std::string> {
 protected:
  static std::string kind() { return GetParam(); }
  void SetUp() override {
    if (const auto why = why_not(kind()); !why.empty()) GTEST_SKIP() << why;
  }
};
INSTANTIATE_TEST_SUITE_P(All, FabricTest, testing::ValuesIn(fabric_kinds()),
                         [](const auto& each) { return each.param; });

/// Reads the slot's newest into the same slot of `reader`, and waits. @return what came
Result<Arrival> read(Side& reader, PeerId peer, const RemoteSlot& from) {
  return read_and_wait(reader.fabric(), peer, from, reader.loan(from.slot), in_time());
}

TEST_P(FabricTest, AReadBringsWhatWasPublishedAtAnySize) {
  const std::vector<SlotShape> sizes = {
      {0}, {1}, {8}, {4095}, {4096}, {4097}, {1 << 16}, {(1 << 20) + 1}, {16 << 20}};
  for (const auto checksums : {FabricOptions::Checksums::off, FabricOptions::Checksums::on}) {
    FabricOptions options;
    options.checksums = checksums;
    Side host(kind(), shapes(sizes)), reader(kind(), shapes(sizes), options);
    const PeerId peer = reader.connect(host);
    for (std::uint32_t i = 0; i < sizes.size(); ++i) {
      for (std::uint64_t version = 1; version <= 2; ++version) {
        ASSERT_EQ(publish_next(host.slot(i)), version);
        auto arrival = read(reader, peer, RemoteSlot::newest(i));
        ASSERT_TRUE(arrival) << arrival.error().message;
        EXPECT_EQ(arrival.value().version, version);
        EXPECT_EQ(arrival.value().bytes, sizes[i].bytes);
        EXPECT_EQ(arrival.value().retries, 0u);
        EXPECT_TRUE(is_version(arrival.value().loan.bytes(), version)) << sizes[i].bytes;
        std::move(arrival.value().loan).publish_as(version);
      }
      EXPECT_EQ(reader.slot(i).version(), 2u);
    }
  }
}

TEST_P(FabricTest, BothSidesReadFromEachOtherWhoeverConnected) {
  Side one(kind(), shapes({{4096}, {4096}})), other(kind(), shapes({{4096}, {4096}}));
  const PeerId to_other = one.connect(other);
  const auto arrived = other.events().next(PeerEvent::Kind::arrived);
  ASSERT_TRUE(arrived);
  publish_next(one.slot(0));
  publish_next(other.slot(1));
  const auto here = read(one, to_other, RemoteSlot::newest(1));
  const auto there = read(other, arrived->peer, RemoteSlot::newest(0));
  ASSERT_TRUE(here && there);
  EXPECT_TRUE(is_version(here.value().loan.bytes(), 1));
  EXPECT_TRUE(is_version(there.value().loan.bytes(), 1));
}

// FA-4
TEST_P(FabricTest, AnAnnouncedVersionIsReadThoughNewerOnesWerePublished) {
  Side host(kind(), shapes({{1 << 16}})), reader(kind(), shapes({{1 << 16}}));
  const PeerId peer = reader.connect(host);
  publish_next(host.slot());
  const auto announced = host.fabric().announce(0, in_time());
  ASSERT_TRUE(announced) << announced.error().message;
  EXPECT_EQ(announced.value().version, 1u);
  for (std::uint64_t version = 2; version <= 9; ++version)
    ASSERT_EQ(publish_next(host.slot()), version);
  const auto arrival = read(reader, peer, announced.value());
  ASSERT_TRUE(arrival) << arrival.error().message;
  EXPECT_EQ(arrival.value().version, 1u);
  EXPECT_TRUE(is_version(arrival.value().loan.bytes(), 1));
}

// FA-4
TEST_P(FabricTest, TheReadersAcknowledgementLetsThePinGo) {
  Side host(kind(), shapes({{4096}})), reader(kind(), shapes({{4096}}));
  const PeerId peer = reader.connect(host);
  publish_next(host.slot());
  const auto first = host.fabric().announce(0, in_time());
  publish_next(host.slot());
  const auto second = host.fabric().announce(0, in_time());
  publish_next(host.slot());
  ASSERT_TRUE(first && second);
  ASSERT_FALSE(host.slot().loan()) << "two pinned, one the newest";
  EXPECT_EQ(read(reader, peer, second.value()).value().version, 2u);
  host.loan();  // in time
  EXPECT_EQ(read(reader, peer, first.value()).value().version, 1u);
}

// FA-4
TEST_P(FabricTest, AnAnnouncementNobodyReadsGoesAtItsDeadline) {
  Side host(kind(), shapes({{4096}})), reader(kind(), shapes({{4096}}));
  const PeerId peer = reader.connect(host);
  publish_next(host.slot());
  const auto announced = host.fabric().announce(0, FabricClock::now() + milliseconds(50));
  ASSERT_TRUE(announced);
  publish_next(host.slot());
  const Pin second = host.slot().pin();
  publish_next(host.slot());
  host.loan();  // in time: that of the first version
  ASSERT_EQ(publish_next(host.slot()), 4u);
  const auto arrival = read(reader, peer, announced.value());
  ASSERT_TRUE(arrival) << arrival.error().message;
  EXPECT_EQ(arrival.value().version, 4u) << "what is newest now (SL-5)";
  EXPECT_TRUE(is_version(arrival.value().loan.bytes(), 4));
}

TEST_P(FabricTest, AHundredSlotsArriveAtOnce) {
  constexpr std::uint32_t kSlots = 100;
  const std::vector<SlotShape> all(kSlots, SlotShape{40'000});
  Side host(kind(), shapes(all)), reader(kind(), shapes(all));
  const PeerId peer = reader.connect(host);
  for (std::uint32_t i = 0; i < kSlots; ++i)
    for (std::uint32_t turn = 0; turn <= i % 5; ++turn) publish_next(host.slot(i));
  std::vector<std::promise<Result<Arrival>>> promises(kSlots);
  for (std::uint32_t i = 0; i < kSlots; ++i)
    reader.fabric().read(peer, RemoteSlot::newest(i), reader.loan(i), in_time(),
                         [&promise = promises[i]](Result<Arrival> arrival) {
                           promise.set_value(std::move(arrival));
                         });
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    const auto arrival = promises[i].get_future().get();
    ASSERT_TRUE(arrival) << arrival.error().message;
    EXPECT_EQ(arrival.value().version, i % 5 + 1);
    EXPECT_TRUE(is_version(arrival.value().loan.bytes(), i % 5 + 1)) << i;
  }
}

// FA-2, FA-4, FA-6: pins and reads that run out in the middle of a transfer, under a writer.
TEST_P(FabricTest, WhatArrivesIsOneWholeVersionHoweverDeadlinesFall) {
  std::mt19937_64 random(test_seed());
  constexpr std::size_t kBytes = 3 << 20;
  Side host(kind(), shapes({{kBytes}})), reader(kind(), shapes({{kBytes}}));
  const PeerId peer = reader.connect(host);
  const auto write = [](Slot slot) {
    if (auto loan = slot.loan()) {
      fill_with_version(loan->bytes(), slot.version() + 1);
      std::move(*loan).publish();
    }
  };
  write(host.slot());
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    while (!stop) write(host.slot());
  });
  std::uint64_t reads = 0, late = 0, retries = 0, newer = 0;
  const auto some_time = [&] {
    return FabricClock::now() + std::chrono::microseconds(random() % 2'000);
  };
  for (const auto end = FabricClock::now() + hunt_time(); FabricClock::now() < end;) {
    const auto announced = host.fabric().announce(0, some_time());
    const RemoteSlot from =
        announced && random() % 4 != 0 ? announced.value() : RemoteSlot::newest(0);
    const Deadline deadline = random() % 2 == 0 ? in_time() : some_time();
    auto arrival = read_and_wait(reader.fabric(), peer, from, *reader.slot().loan(), deadline);
    if (arrival) {
      ++reads;
      retries += arrival.value().retries;
      newer += from.version != 0 && arrival.value().version != from.version;
      EXPECT_TRUE(holds_version(arrival.value().loan.bytes(), arrival.value().version));
    } else {
      ++late;
      EXPECT_EQ(arrival.error().code, std::errc::timed_out) << arrival.error().message;
    }
    if (HasFailure()) break;
  }
  stop = true;
  writer.join();
  std::cout << reads << " reads, " << late << " late, " << retries << " retries, " << newer
            << " newer than announced, of " << host.slot().version() << " versions" << std::endl;
  EXPECT_GT(reads, 0u);
}

// FA-3
TEST_P(FabricTest, LettersComeWholeAndInOrder) {
  constexpr std::uint32_t kLetters = 20'000;
  Side host(kind(), shapes({}, {{256}, {256}})), sender(kind(), shapes({}));
  const PeerId peer = sender.connect(host);
  std::atomic<std::uint32_t> received = 0, answered = 0, failed = 0;
  std::thread thread([&] {
    for (std::uint32_t number = 0; number < kLetters; ++number) {
      while (number - received >= 200) std::this_thread::yield();
      sender.fabric().send(peer, 1, numbered_letter(3, 0, number), in_time(),
                           [&](const Result<>& sent) {
                             if (!sent) ++failed;
                             ++answered;
                           });
    }
  });
  Letter letter;
  for (std::uint32_t number = 0; number < kLetters; ++number) {
    EXPECT_TRUE(host.arena().mailbox(1).wait(letter, seconds(60)));
    EXPECT_TRUE(is_whole(letter));
    EXPECT_EQ(letter.part, number);
    ++received;
    if (HasFailure()) break;
  }
  received = kLetters;
  thread.join();
  while (answered < kLetters) std::this_thread::yield();
  EXPECT_EQ(failed, 0u);
  EXPECT_FALSE(host.arena().mailbox(0).take(letter));
}

// FA-3: whether a thread waits for each answer or not, and though the fabric's own thread is busy.
TEST_P(FabricTest, LettersThatAreWaitedForKeepTheirPlaceAmongThoseThatAreNot) {
  constexpr std::uint32_t kLetters = 3'000;
  Side host(kind(), shapes({}, {{256}, {256}})), sender(kind(), shapes({}));
  const PeerId peer = sender.connect(host);
  std::atomic<std::uint32_t> received = 0, answered = 0, failed = 0;
  const auto count = [&](const Result<>& sent) {
    if (!sent) ++failed;
    ++answered;
  };
  std::thread thread([&] {
    for (std::uint32_t number = 0; number < kLetters; ++number) {
      while (number - received >= 200) std::this_thread::yield();
      const Letter letter = numbered_letter(3, 0, number);
      if (number % 3 == 0)
        count(send_and_wait(sender.fabric(), peer, 1, letter, in_time()));
      else
        sender.fabric().send(peer, 1, letter, in_time(), count);
    }
  });
  Letter letter;
  for (std::uint32_t number = 0; number < kLetters; ++number) {
    EXPECT_TRUE(host.arena().mailbox(1).wait(letter, seconds(60)));
    EXPECT_EQ(letter.part, number);
    ++received;
    if (HasFailure()) break;
  }
  received = kLetters;
  thread.join();
  while (answered < kLetters) std::this_thread::yield();
  EXPECT_EQ(failed, 0u);
}

// A callback may ask for the next thing; what is refused is told later, not within that call.
TEST_P(FabricTest, ACallbackAsksAgainAndIsNeverCalledFromWithinItsOwnCall) {
  Side host(kind(), shapes({{8}})), reader(kind(), shapes({{8}}));
  publish_next(host.slot(0));
  const PeerId peer = reader.connect(host);
  std::promise<Error> refused;
  std::atomic<bool> is_calling = false, was_within = false;
  std::atomic<int> arrived = 0;
  std::function<void(Result<Arrival>)> next = [&](Result<Arrival> arrival) {
    was_within = was_within || is_calling;
    if (!arrival) return refused.set_value(arrival.error());
    const std::uint32_t slot = ++arrived < 100 ? 0 : 7;  // the peer has no slot 7
    is_calling = true;
    reader.fabric().read(peer, RemoteSlot::newest(slot), std::move(arrival.value().loan), in_time(),
                         next);
    is_calling = false;
  };
  ASSERT_TRUE(read(reader, peer, RemoteSlot::newest(0)));
  reader.fabric().read(peer, RemoteSlot::newest(0), reader.loan(0), in_time(), next);
  auto error = refused.get_future();
  ASSERT_EQ(error.wait_for(seconds(60)), std::future_status::ready);
  EXPECT_EQ(error.get().code, std::errc::invalid_argument);
  EXPECT_EQ(arrived, 100);
  EXPECT_FALSE(was_within);
}

// FA-3
TEST_P(FabricTest, AFullMailboxAndOneThatIsNoneAreErrorsAtTheSender) {
  Side host(kind(), shapes({}, {{4}})), sender(kind(), shapes({}));
  const PeerId peer = sender.connect(host);
  const auto send = [&](std::uint32_t mailbox, std::uint32_t number) {
    return send_and_wait(sender.fabric(), peer, mailbox, numbered_letter(1, 0, number), in_time());
  };
  for (std::uint32_t number = 0; number < 4; ++number) ASSERT_TRUE(send(0, number));
  for (int turn = 0; turn < 3; ++turn)
    EXPECT_EQ(send(0, 99).error().code, std::errc::no_buffer_space);
  EXPECT_EQ(send(1, 99).error().code, std::errc::invalid_argument);
  Letter letter;
  for (std::uint32_t number = 0; number < 4; ++number) {
    ASSERT_TRUE(host.arena().mailbox(0).take(letter));
    EXPECT_EQ(letter.part, number);
  }
  EXPECT_FALSE(host.arena().mailbox(0).take(letter)) << "what was refused was not sent";
  EXPECT_TRUE(send(0, 4));
}

// FA-6
TEST_P(FabricTest, WhatCannotBeReadSaysWhyAndGivesItsLoanBack) {
  Side host(kind(), shapes({{4096}})), reader(kind(), shapes({{4096}, {4096}, {8}}));
  const PeerId peer = reader.connect(host);
  const auto fails = [&](const RemoteSlot& from, std::size_t into, PeerId whose, std::errc code) {
    std::promise<std::error_code> promise;
    bool returned = false;
    reader.fabric().read(whose, from, reader.loan(into), in_time(), [&](Result<Arrival> arrival) {
      returned = reader.slot(into).loan().has_value();  // a second loan would abort
      promise.set_value(arrival ? std::error_code() : arrival.error().code);
    });
    EXPECT_EQ(promise.get_future().get(), code);
    EXPECT_TRUE(returned);
  };
  fails(RemoteSlot::newest(0), 0, peer, std::errc::no_message_available);
  publish_next(host.slot());
  fails(RemoteSlot::newest(1), 1, peer, std::errc::invalid_argument);
  fails(RemoteSlot::newest(0), 2, peer, std::errc::invalid_argument);
  fails(RemoteSlot::newest(0), 0, PeerId{99}, std::errc::not_connected);
  EXPECT_TRUE(read(reader, peer, RemoteSlot::newest(0)));
  EXPECT_EQ(host.fabric().announce(5, in_time()).error().code, std::errc::invalid_argument);
  EXPECT_EQ(reader.fabric().announce(0, in_time()).error().code, std::errc::no_message_available);
}

// FA-1
TEST_P(FabricTest, WhoSendsTooMuchAtOnceIsToldSo) {
  constexpr std::uint32_t kLetters = 3 * Fabric::kMostInFlight;
  Side host(kind(), shapes({}, {{1 << 12}})), sender(kind(), shapes({}));
  const PeerId peer = sender.connect(host);
  std::atomic<std::uint32_t> sent = 0, refused = 0, other = 0;
  for (std::uint32_t number = 0; number < kLetters; ++number)
    sender.fabric().send(
        peer, 0, numbered_letter(1, 0, number), in_time(), [&](const Result<>& result) {
          if (result)
            ++sent;
          else
            ++(result.error().code == std::errc::resource_unavailable_try_again ? refused : other);
        });
  while (sent + refused + other < kLetters) std::this_thread::yield();
  EXPECT_EQ(other, 0u);
  EXPECT_GE(sent, Fabric::kMostInFlight);
  Letter letter;
  for (std::uint32_t number = 0; number < sent; ++number)
    ASSERT_TRUE(host.arena().mailbox(0).take(letter));
}

TEST_P(FabricTest, DrainEndsWhatIsUnderWayAndTakesLeave) {
  constexpr std::size_t kBytes = 32 << 20;
  Side host(kind(), shapes({{kBytes}}, {{16}})), reader(kind(), shapes({{kBytes}}));
  const PeerId peer = reader.connect(host);
  publish_next(host.slot());
  const auto announced = host.fabric().announce(0, in_time());
  std::promise<Result<Arrival>> promise;
  reader.fabric().read(peer, announced.value(), reader.loan(), in_time(),
                       [&](Result<Arrival> arrival) { promise.set_value(std::move(arrival)); });
  const auto drained = reader.fabric().drain(in_time());
  EXPECT_TRUE(drained) << drained.error().message;
  auto arrival = promise.get_future().get();
  ASSERT_TRUE(arrival) << arrival.error().message;
  EXPECT_TRUE(is_version(arrival.value().loan.bytes(), 1));
  EXPECT_TRUE(host.events().next(PeerEvent::Kind::left));
  EXPECT_TRUE(reader.events().next(PeerEvent::Kind::left));
  EXPECT_EQ(send_and_wait(reader.fabric(), peer, 0, {}, in_time()).error().code,
            std::errc::operation_canceled);
  EXPECT_EQ(reader.try_to_connect(host.fabric().address()).error().code,
            std::errc::operation_canceled);
  EXPECT_TRUE(host.fabric().drain(in_time())) << "the announcement was acknowledged";
}

TEST_P(FabricTest, DrainSaysWhoIsLeftWhenItsTimeIsOver) {
  Side host(kind(), shapes({{8}})), reader(kind(), shapes({{8}}));
  reader.connect(host);
  publish_next(host.slot());
  ASSERT_TRUE(host.fabric().announce(0, in_time()));  // and nobody reads it
  const auto drained = host.fabric().drain(FabricClock::now() + milliseconds(100));
  ASSERT_FALSE(drained);
  EXPECT_EQ(drained.error().code, std::errc::timed_out);
  EXPECT_TRUE(reader.events().next(PeerEvent::Kind::lost));
}

// The largest that a slot is likely to be. Slow, and of 1.5 GiB: CTest's label `slow`.
TEST_P(FabricTest, DISABLED_AQuarterOfAGigabyteArrives) {
  constexpr std::size_t kBytes = std::size_t{256} << 20;
  Side host(kind(), shapes({{kBytes}})), reader(kind(), shapes({{kBytes}}));
  const PeerId peer = reader.connect(host);
  publish_next(host.slot());
  const auto arrival = read(reader, peer, RemoteSlot::newest(0));
  ASSERT_TRUE(arrival) << arrival.error().message;
  EXPECT_TRUE(is_version(arrival.value().loan.bytes(), 1));
}

}  // namespace
}  // namespace paceline
