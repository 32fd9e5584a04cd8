// The conformance suite of fabrics, over a link that goes down and comes up again: over TCP between
// two network namespaces, which root may make; over verbs on the link of the RDMA guest, which
// names in PACELINE_RDMA_LINK what takes it down and up (tools/rdma_guest).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <thread>

#include "net/fabric_peer.h"
#include "net/fabric_stage.h"
#include "net/peer.h"

namespace paceline {
namespace {

bool succeeds(const std::string& command) { return std::system(command.c_str()) == 0; }

/// A way to a host elsewhere, which can be cut.
class Link {
 public:
  virtual ~Link() = default;
  /// A fabric_peer that hosts at the far end.
  virtual std::vector<std::string> host() const = 0;
  /// The near end, where the other side of the connection belongs.
  virtual std::string near_end() const = 0;
  virtual void down() const = 0;
  virtual void up() const = 0;
};

/// 10.77.N.1 here, 10.77.N.2 in a namespace of its own.
class NamespaceLink final : public Link {
 public:
  NamespaceLink() {
    made_ = succeeds(fmt::format(
        "(ip netns add {0} && ip link add {0}h type veth peer name {0}p && ip link set {0}p netns "
        "{0} && ip addr add {1}.1/24 dev {0}h && ip link set {0}h up && ip -n {0} addr add "
        "{1}.2/24 dev {0}p && ip -n {0} link set {0}p up) >/dev/null 2>&1",
        name_, net_));
  }
  ~NamespaceLink() override {
    succeeds(fmt::format("(ip link del {0}h; ip netns del {0}) >/dev/null 2>&1", name_));
  }

  bool made() const { return made_; }
  std::vector<std::string> host() const override {
    return {
        "/bin/sh", "-c",
        fmt::format("exec ip netns exec {} {} tcp host {}.2:0", name_, PACELINE_FABRIC_PEER, net_)};
  }
  std::string near_end() const override { return net_ + ".1:0"; }
  void down() const override {
    ASSERT_TRUE(succeeds(fmt::format("ip -n {0} link set {0}p down", name_)));
  }
  void up() const override {
    ASSERT_TRUE(succeeds(fmt::format("ip -n {0} link set {0}p up", name_)));
  }

 private:
  const std::string name_ = fmt::format("pl{}", getpid());  // an interface's name is short
  const std::string net_ = fmt::format("10.77.{}", getpid() % 256);
  bool made_ = false;
};

/// The guest's, from its device a0 to b0. Cut on its way: what disconnects while the interface itself
/// is down leaves rxe's queue pair for connection requests in its error state (docs/architecture.md).
class GuestLink final : public Link {
 public:
  explicit GuestLink(std::string command) : command_(std::move(command)) {}
  std::vector<std::string> host() const override {
    return {PACELINE_FABRIC_PEER, "verbs", "host", "10.9.0.2:0"};
  }
  std::string near_end() const override { return "10.9.0.1:0"; }
  void down() const override { ASSERT_TRUE(succeeds(command_ + " cut")); }
  void up() const override { ASSERT_TRUE(succeeds(command_ + " mend")); }

 private:
  const std::string command_;
};

class FabricLink : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "verbs") {
      const char* const command = std::getenv("PACELINE_RDMA_LINK");
      if (command == nullptr) GTEST_SKIP() << "needs the link of tools/rdma_guest/run";
      if (const auto why = why_not("verbs"); !why.empty()) GTEST_SKIP() << why;
      link_ = std::make_unique<GuestLink>(command);
    } else {
      auto link = std::make_unique<NamespaceLink>();
      if (!link->made())
        GTEST_SKIP() << "needs root, iproute2 and network namespaces, or tools/rdma_guest/run";
      link_ = std::move(link);
    }
  }
  FabricOptions here(milliseconds lost_after) const {
    FabricOptions options;
    options.listen = link_->near_end();
    options.reach = FabricOptions::Reach::network;
    options.lost_after = lost_after;
    return options;
  }
  static std::string kind() { return GetParam(); }

  std::unique_ptr<Link> link_;
};

/// Those between nodes.
std::vector<std::string> far_kinds() {
  std::vector<std::string> kinds = fabric_kinds();
  std::erase(kinds, "shared_memory");
  return kinds;
}
INSTANTIATE_TEST_SUITE_P(All, FabricLink, testing::ValuesIn(far_kinds()),
                         [](const auto& each) { return each.param; });

/// A link that was made a moment ago may have no route yet.
PeerId connect(Side& side, const std::string& address) {
  for (const Deadline end = in_time(); FabricClock::now() < end;) {
    if (const auto peer = side.try_to_connect(address)) return peer.value();
    std::this_thread::sleep_for(milliseconds(10));
  }
  return side.connect(address);  // says why not
}

/// Reads the slot that was published once. @return whether it came, whole
bool arrives(Side& side, PeerId peer, Deadline deadline) {
  const auto arrival =
      read_and_wait(side.fabric(), peer, RemoteSlot::newest(1), side.loan(1), deadline);
  if (!arrival) return false;
  EXPECT_TRUE(holds_version(arrival.value().loan.bytes(), 1));
  return true;
}

// FA-1, FA-6, FA-7
TEST_P(FabricLink, WhoIsBehindALinkThatIsDownIsLostAndConnectsAgain) {
  Peer host(link_->host());
  Side side(kind(), fabric_peer_shapes(), here(milliseconds(1500)));
  const std::string address = host.line();
  ASSERT_FALSE(address.empty()) << "the host did not start";
  const PeerId peer = connect(side, address);
  ASSERT_TRUE(arrives(side, peer, in_time()));

  std::atomic<int> asked = 0, arrived = 0, not_connected = 0, other = 0;
  std::atomic<bool> stop = false;
  std::thread thread([&] {
    const auto count = [&](std::error_code code) {
      ++(!code ? arrived : code == std::errc::not_connected ? not_connected : other);
    };
    const auto ended = [&] { return arrived + not_connected + other; };
    while (!stop) {
      asked += 2;
      side.fabric().read(peer, RemoteSlot::newest(1), side.loan(1), in_time(),
                         [count](Result<Arrival> arrival) {
                           const auto code = arrival ? std::error_code() : arrival.error().code;
                           { const auto gone = std::move(arrival); }  // its slot is asked for again
                           count(code);
                         });
      side.fabric().send(peer, 0, {}, in_time(), [count](const Result<>& sent) {
        count(!sent && sent.error().code != std::errc::no_buffer_space ? sent.error().code
                                                                       : std::error_code());
      });
      for (const Deadline end = in_time(); ended() < asked && FabricClock::now() < end;)
        std::this_thread::sleep_for(milliseconds(1));
    }
  });
  std::this_thread::sleep_for(milliseconds(50));
  link_->down();
  const auto lost = side.events().next(PeerEvent::Kind::lost);
  stop = true;
  thread.join();
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->peer, peer);
  std::cout << arrived << " of " << asked << " arrived, then: " << lost->error.message << std::endl;
  EXPECT_EQ(arrived + not_connected, asked);
  EXPECT_EQ(other, 0) << "neither late nor of another kind: its loss is noticed first";
  side.loan(1);

  EXPECT_FALSE(side.fabric().connect(address, FabricClock::now() + milliseconds(500)));
  link_->up();
  for (const Deadline end = in_time(); FabricClock::now() < end;) {
    const auto again = side.fabric().connect(address, FabricClock::now() + seconds(5));
    if (!again) continue;
    EXPECT_NE(again.value(), peer);
    if (arrives(side, again.value(), in_time())) return;
  }
  ADD_FAILURE() << "not connected again";
}

// FA-1: a deadline passes though nothing is heard, and what comes late is thrown away.
TEST_P(FabricLink, ADeadlinePassesWhileTheLinkIsDown) {
  Peer host(link_->host());
  Side side(kind(), fabric_peer_shapes(), here(seconds(60)));
  const std::string address = host.line();
  ASSERT_FALSE(address.empty()) << "the host did not start";
  PeerId peer = connect(side, address);
  ASSERT_TRUE(arrives(side, peer, in_time()));
  link_->down();
  const auto arrival = read_and_wait(side.fabric(), peer, RemoteSlot::newest(1), side.loan(1),
                                     FabricClock::now() + milliseconds(300));
  ASSERT_FALSE(arrival);
  side.loan(1);
  if (kind() == "tcp") {
    EXPECT_EQ(arrival.error().code, std::errc::timed_out) << arrival.error().message;
  }
  link_->up();
  // A device may have given its queue pair up, which is a loss.
  for (const Deadline end = in_time(); FabricClock::now() < end;) {
    if (arrives(side, peer, FabricClock::now() + seconds(20))) return;
    ASSERT_NE(kind(), "tcp") << "nobody was lost: the same connection goes on";
    if (const auto again = side.fabric().connect(address, FabricClock::now() + seconds(5)))
      peer = again.value();
  }
  ADD_FAILURE() << "nothing arrives";
}

// FA-1, FA-7. By itself and last in the guest, which answers no request for a connection afterwards.
TEST(VerbsLink, AnInterfaceThatGoesDownIsTheLossOfWhoWasBehindIt) {
  const char* const command = std::getenv("PACELINE_RDMA_LINK");
  if (command == nullptr || !why_not("verbs").empty())
    GTEST_SKIP() << "needs the link of tools/rdma_guest/run";
  const GuestLink link(command);
  Peer host(link.host());
  FabricOptions options;
  options.listen = link.near_end();
  options.reach = FabricOptions::Reach::network;
  options.lost_after = milliseconds(1500);
  Side side("verbs", fabric_peer_shapes(), options);
  const PeerId peer = side.connect(host.line());
  ASSERT_TRUE(arrives(side, peer, in_time()));
  ASSERT_TRUE(succeeds(std::string(command) + " down"));
  const auto arrival =
      read_and_wait(side.fabric(), peer, RemoteSlot::newest(1), side.loan(1), in_time());
  ASSERT_FALSE(arrival);
  EXPECT_EQ(arrival.error().code, std::errc::not_connected) << arrival.error().message;
  const auto lost = side.events().next(PeerEvent::Kind::lost);
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->peer, peer);
  std::cout << lost->error.message << std::endl;
  side.loan(1);
  EXPECT_TRUE(succeeds(std::string(command) + " up"));
}

}  // namespace
}  // namespace paceline
