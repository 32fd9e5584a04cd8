// The conformance suite of fabrics, between processes: torn reads are hunted, peers are killed and
// stopped.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <iostream>
#include <random>
#include <thread>

#include "net/fabric_peer.h"
#include "net/fabric_stage.h"
#include "net/numbered_letter.h"
#include "net/peer.h"
#include "test_seed.h"

namespace paceline {
namespace {

class FabricFaults : public testing::TestWithParam<std::string> {
 protected:
  static std::string kind() { return GetParam(); }
  void SetUp() override {
    if (const auto why = why_not(kind()); !why.empty()) GTEST_SKIP() << why;
  }
  static Peer start_host() { return Peer({PACELINE_FABRIC_PEER, kind(), "host"}); }
};
INSTANTIATE_TEST_SUITE_P(All, FabricFaults, testing::ValuesIn(fabric_kinds()),
                         [](const auto& each) { return each.param; });

FabricOptions lost_after(milliseconds time) {
  FabricOptions options;
  options.lost_after = time;
  return options;
}

/// Counts how what was asked for has ended.
struct Outcomes {
  std::atomic<std::uint64_t> asked = 0, arrived = 0, late = 0, lost = 0, other = 0;

  std::uint64_t ended() const { return arrived + late + lost + other; }
  void count(std::error_code code) {
    if (!code)
      ++arrived;
    else if (code == std::errc::timed_out)
      ++late;
    else if (code == std::errc::not_connected)
      ++lost;
    else
      ++other;
  }
  void wait_for_all() const {
    for (const Deadline end = in_time(); ended() < asked && FabricClock::now() < end;)
      std::this_thread::sleep_for(milliseconds(1));
  }
};

void ask_for_slot(Side& side, PeerId peer, std::uint32_t slot, Deadline deadline,
                  Outcomes& outcomes) {
  ++outcomes.asked;
  side.fabric().read(peer, RemoteSlot::newest(slot), side.loan(slot), deadline,
                     [&](Result<Arrival> arrival) {
                       const auto code = arrival ? std::error_code() : arrival.error().code;
                       // Whoever counts may ask for the same slot at once: its loan goes before.
                       { const auto gone = std::move(arrival); }
                       outcomes.count(code);
                     });
}

void send_letter(Side& side, PeerId peer, Deadline deadline, Outcomes& outcomes) {
  ++outcomes.asked;
  side.fabric().send(peer, 0, numbered_letter(1, 0, 0), deadline, [&](const Result<>& sent) {
    outcomes.count(sent ? std::error_code() : sent.error().code);
  });
}

// FA-2
TEST_P(FabricFaults, ReadsUnderAWriterOfAnotherProcessAreNeverTorn) {
  Peer host = start_host();
  Side reader(kind(), fabric_peer_shapes());
  const PeerId peer = reader.connect(host.line());
  std::uint64_t reads = 0, newest = 0;
  for (const auto end = FabricClock::now() + hunt_time(); FabricClock::now() < end; ++reads) {
    const auto arrival =
        read_and_wait(reader.fabric(), peer, RemoteSlot::newest(0), reader.loan(), in_time());
    ASSERT_TRUE(arrival) << arrival.error().message;
    ASSERT_GE(arrival.value().version, newest) << "versions do not go back";
    newest = arrival.value().version;
    ASSERT_TRUE(holds_version(arrival.value().loan.bytes(), newest));
  }
  std::cout << reads << " reads of " << newest << " versions" << std::endl;
}

// FA-1, FA-7
TEST_P(FabricFaults, APeerThatIsKilledIsLostAndWhatWasUnderWayEnds) {
  std::mt19937_64 random(test_seed());
  for (int round = 0; round < 5; ++round) {
    Peer host = start_host();
    Side side(kind(), fabric_peer_shapes());
    const PeerId peer = side.connect(host.line());
    Outcomes reads, letters;
    std::atomic<bool> stop = false;
    std::thread thread([&] {
      while (!stop) {
        ask_for_slot(side, peer, round % 2, in_time(), reads);
        send_letter(side, peer, in_time(), letters);
        while (reads.ended() < reads.asked) std::this_thread::yield();
      }
    });
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30'000));
    ASSERT_EQ(host.kill(), -SIGKILL);
    const auto event = side.events().next(PeerEvent::Kind::lost);
    stop = true;
    thread.join();
    letters.wait_for_all();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->peer, peer);
    EXPECT_FALSE(event->error.message.empty());
    EXPECT_EQ(letters.ended(), letters.asked);
    EXPECT_EQ(reads.late + letters.late, 0u) << "the end of a process is noticed at once";
    Outcomes after;
    ask_for_slot(side, peer, 0, in_time(), after);
    after.wait_for_all();
    EXPECT_EQ(after.lost, 1u);
    side.loan(0);
    side.loan(1);
  }
}

TEST_P(FabricFaults, APeerThatComesAgainIsConnectedAgain) {
  Side side(kind(), fabric_peer_shapes());
  PeerId last{};
  for (int round = 0; round < 3; ++round) {
    Peer host = start_host();
    const PeerId peer = side.connect(host.line());
    EXPECT_NE(peer, last);
    last = peer;
    const auto arrival =
        read_and_wait(side.fabric(), peer, RemoteSlot::newest(1), side.loan(1), in_time());
    ASSERT_TRUE(arrival) << arrival.error().message;
    EXPECT_TRUE(holds_version(arrival.value().loan.bytes(), 1));
    host.kill();
    ASSERT_TRUE(side.events().next(PeerEvent::Kind::lost));
  }
}

// FA-1: whatever the peer does. A fabric that reads the peer's memory needs nothing of its process.
TEST_P(FabricFaults, AStoppedPeerKeepsNobodyBeyondTheDeadline) {
  Peer host = start_host();
  Side side(kind(), fabric_peer_shapes(), lost_after(seconds(60)));
  const PeerId peer = side.connect(host.line());
  host.send(SIGSTOP);
  Outcomes outcomes;
  const Deadline deadline = FabricClock::now() + milliseconds(300);
  ask_for_slot(side, peer, 0, deadline, outcomes);
  ask_for_slot(side, peer, 1, deadline, outcomes);
  for (int i = 0; i < 100; ++i) send_letter(side, peer, deadline, outcomes);
  outcomes.wait_for_all();
  EXPECT_EQ(outcomes.ended(), outcomes.asked);
  EXPECT_EQ(outcomes.lost, 0u);
  if (kind() == "tcp") {
    EXPECT_EQ(outcomes.late, outcomes.asked);
  }
  side.loan(0);
  side.loan(1);
  host.send(SIGCONT);
  const auto arrival =
      read_and_wait(side.fabric(), peer, RemoteSlot::newest(1), side.loan(1), in_time());
  ASSERT_TRUE(arrival) << arrival.error().message;
  EXPECT_TRUE(holds_version(arrival.value().loan.bytes(), 1)) << "the late answer is thrown away";
}

// FA-7
TEST_P(FabricFaults, APeerWithoutASignOfLifeIsLostAndMayComeAgain) {
  Peer host = start_host();
  Side side(kind(), fabric_peer_shapes(), lost_after(milliseconds(1500)));
  const std::string address = host.line();
  side.connect(address);
  host.send(SIGSTOP);
  const auto lost = side.events().next(PeerEvent::Kind::lost);
  ASSERT_TRUE(lost);
  EXPECT_NE(lost->error.message.find("sign of life"), std::string::npos) << lost->error.message;
  host.send(SIGCONT);
  for (const Deadline end = in_time(); FabricClock::now() < end;) {
    const auto again = side.try_to_connect(address);
    if (!again) continue;
    const auto arrival =
        read_and_wait(side.fabric(), again.value(), RemoteSlot::newest(1), side.loan(1), in_time());
    if (!arrival) continue;  // on a machine this busy it was lost once more
    EXPECT_TRUE(holds_version(arrival.value().loan.bytes(), 1));
    return;
  }
  ADD_FAILURE() << "not connected again";
}

// FA-1: the end of the fabric is the end of all that is under way.
TEST_P(FabricFaults, TheFabricsEndIsToldToWhateverIsUnderWay) {
  Peer host = start_host();
  Side side(kind(), fabric_peer_shapes());
  const PeerId peer = side.connect(host.line());
  host.send(SIGSTOP);
  std::atomic<int> canceled = 0, arrived = 0, other = 0;
  for (std::uint32_t slot = 0; slot < 2; ++slot)
    side.fabric().read(
        peer, RemoteSlot::newest(slot), side.loan(slot), in_time(),
        [&](const Result<Arrival>& arrival) {
          if (arrival)
            ++arrived;
          else
            ++(arrival.error().code == std::errc::operation_canceled ? canceled : other);
        });
  side.end_fabric();
  EXPECT_EQ(canceled + arrived, 2);
  EXPECT_EQ(other, 0);
  side.loan(0);
  side.loan(1);
}

// A reader that is killed leaves no pin behind for good (SM-1, SR-2).
TEST_P(FabricFaults, ReadersThatAreKilledNeverStopTheWriterForGood) {
  std::mt19937_64 random(test_seed());
  Side host(kind(), fabric_peer_shapes());
  const auto publish = [&] {
    Loan loan = host.loan(0);  // in time
    fill_with_version(loan.bytes(), host.slot(0).version() + 1);
    std::move(loan).publish();
  };
  publish();
  for (int round = 0; round < 5; ++round) {
    Peer reader({PACELINE_FABRIC_PEER, kind(), "read", host.fabric().address()});
    ASSERT_EQ(reader.line(), "connected");
    const auto until = FabricClock::now() + std::chrono::microseconds(random() % 30'000);
    while (FabricClock::now() < until) publish();
    ASSERT_EQ(reader.kill(), -SIGKILL) << "3: a torn version";
    ASSERT_TRUE(host.events().next(PeerEvent::Kind::lost));
    for (int i = 0; i < 4; ++i) publish();
  }
  // All words are free again: nobody but this process has a pin.
  for (const Deadline end = in_time();;) {
    std::vector<Pin> pins;
    while (Pin pin = host.slot(0).pin()) pins.push_back(std::move(pin));
    if (pins.size() == 64) break;
    ASSERT_LT(FabricClock::now(), end) << pins.size() << " of 64 pins";
  }
}

}  // namespace
}  // namespace paceline
