// The conformance suite of fabrics: who is no peer. Strangers with another token or layout, garbage
// on the port, and peers that have the token and break the rules.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <cstring>
#include <random>

#include "net/fabric_stage.h"
#include "paceline/net/handshake_internal.h"

namespace paceline {
namespace {

class FabricStrangers : public testing::TestWithParam<std::string> {
 protected:
  static std::string kind() { return GetParam(); }
  void SetUp() override {
    if (const auto why = why_not(kind()); !why.empty()) GTEST_SKIP() << why;
  }
};
INSTANTIATE_TEST_SUITE_P(All, FabricStrangers, testing::Values("tcp", "shared_memory"),
                         [](const auto& each) { return each.param; });

/// Bytes to and from a fabric's port, without any fabric.
class Wire {
 public:
  explicit Wire(const std::string& address) {
    if (address.front() == '@') {
      sockaddr_un name = {};
      name.sun_family = AF_UNIX;
      std::memcpy(name.sun_path + 1, address.data() + 1, address.size() - 1);
      const auto bytes = offsetof(sockaddr_un, sun_path) + address.size();
      connect_to(reinterpret_cast<const sockaddr*>(&name), static_cast<socklen_t>(bytes));
    } else {
      const auto colon = address.rfind(':');
      const boost::asio::ip::tcp::endpoint end(
          boost::asio::ip::make_address(address.substr(0, colon)),
          static_cast<std::uint16_t>(std::stoul(address.substr(colon + 1))));
      connect_to(end.data(), static_cast<socklen_t>(end.size()));
    }
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  ~Wire() { close(socket_); }

  void say(std::span<const std::byte> bytes) const {
    // The other side may have closed already: that is its right.
    ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  template <class F>
  void say(const F& frame) const {
    say(bytes_of(frame));
  }
  void say_no_more() const { shutdown(socket_, SHUT_WR); }

  /// @return the next frame; nothing when the other side has closed, or what came is none
  std::optional<Frame> hear() const {
    std::array<std::byte, kMostFrameBytes> bytes;
    if (!fill(std::span(bytes).first(sizeof(FrameHead)))) return std::nullopt;
    const auto head = parse_frame_head(bytes);
    if (!head) return std::nullopt;
    const auto whole = std::span(bytes).first(head.value().bytes);
    if (!fill(whole.subspan(sizeof(FrameHead)))) return std::nullopt;
    const auto frame = parse_frame(whole);
    return frame ? std::optional(frame.value()) : std::nullopt;
  }
  /// Waits until the other side has closed. @return whether it has, in time
  bool is_closed() const {
    while (hear()) {
    }
    std::byte byte;
    return !fill(std::span(&byte, 1)) && !late_;
  }

 private:
  void connect_to(const sockaddr* address, socklen_t bytes) {
    socket_ = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    PACELINE_CHECK(connect(socket_, address, bytes) == 0, "{}", std::strerror(errno));
  }
  bool fill(std::span<std::byte> to) const {
    while (!to.empty()) {
      pollfd ready = {socket_, POLLIN, 0};
      late_ = poll(&ready, 1, 60'000) <= 0;
      if (late_) return false;
      const auto bytes = recv(socket_, to.data(), to.size(), 0);
      if (bytes <= 0) return false;
      to = to.subspan(static_cast<std::size_t>(bytes));
    }
    return true;
  }

  int socket_ = -1;
  mutable bool late_ = false;
};

/// Goes through the handshake as a peer would.
/// @return what the host told of itself
std::optional<Welcome> become_peer(const Wire& wire, const std::string& segment) {
  const Initiator initiator(test_token(), kFabricLayout);
  wire.say(initiator.hello());
  const auto challenge = wire.hear();
  if (!challenge || !std::holds_alternative<Challenge>(*challenge)) return std::nullopt;
  const auto proof = initiator.answer(std::get<Challenge>(*challenge));
  if (!proof) return std::nullopt;
  wire.say(proof.value());
  auto welcome = make_frame<Welcome>();
  welcome.segment_bytes = static_cast<std::uint32_t>(segment.size());
  std::ranges::copy(segment, welcome.segment.begin());
  wire.say(welcome);
  const auto answer = wire.hear();
  if (!answer || !std::holds_alternative<Welcome>(*answer)) return std::nullopt;
  return std::get<Welcome>(*answer);
}

/// That the host serves its peers, whatever happened before.
void expect_service(const std::string& kind, Side& host) {
  Side reader(kind, shapes({{64}}));
  const PeerId peer = reader.connect(host);
  const auto arrival =
      read_and_wait(reader.fabric(), peer, RemoteSlot::newest(0), reader.loan(), in_time());
  ASSERT_TRUE(arrival) << arrival.error().message;
  EXPECT_TRUE(is_version(arrival.value().loan.bytes(), 1));
}

// FA-5
TEST_P(FabricStrangers, AnotherTokenIsRefusedOnBothSides) {
  Side host(kind(), shapes({{64}}));
  publish_next(host.slot());
  FabricOptions options;
  options.token = FabricToken::random();
  Side stranger(kind(), shapes({{64}}), options);
  const auto peer = stranger.try_to_connect(host.fabric().address());
  ASSERT_FALSE(peer);
  EXPECT_EQ(peer.error().code, std::errc::permission_denied) << peer.error().message;
  const auto refused = host.events().next(PeerEvent::Kind::refused);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error.code, std::errc::permission_denied) << refused->error.message;
  expect_service(kind(), host);
}

TEST_P(FabricStrangers, AnotherLayoutIsRefused) {
  Side host(kind(), shapes({{64}}));
  publish_next(host.slot());
  FabricOptions options;
  options.layout_hash = kFabricLayout + 1;
  Side other(kind(), shapes({{64}}), options);
  const auto peer = other.try_to_connect(host.fabric().address());
  ASSERT_FALSE(peer);
  EXPECT_EQ(peer.error().code, std::errc::protocol_not_supported) << peer.error().message;
  expect_service(kind(), host);
}

TEST_P(FabricStrangers, NobodyAtTheAddressIsAnError) {
  Side side(kind(), shapes({{64}}));
  std::string address;
  {
    Side gone(kind(), shapes({{64}}));
    address = gone.fabric().address();
  }
  EXPECT_EQ(side.try_to_connect(address).error().code, std::errc::connection_refused);
  for (const char* wrong : {"", "nonsense", ":1", "127.0.0.1:", "127.0.0.1:99999", "@"})
    EXPECT_EQ(side.try_to_connect(wrong).error().code, std::errc::invalid_argument) << wrong;
}

// FA-5
TEST_P(FabricStrangers, ARecordedHandshakeGetsNoFurtherThanItsFirstFrame) {
  Side host(kind(), shapes({{64}}));
  const Initiator recorded(test_token(), kFabricLayout);
  const Wire first(host.fabric().address()), again(host.fabric().address());
  first.say(recorded.hello());
  const auto challenge = first.hear();
  ASSERT_TRUE(challenge && std::holds_alternative<Challenge>(*challenge));
  const auto proof = recorded.answer(std::get<Challenge>(*challenge));
  ASSERT_TRUE(proof);
  again.say(recorded.hello());
  ASSERT_TRUE(again.hear());
  again.say(proof.value());
  const auto answer = again.hear();
  ASSERT_TRUE(answer && std::holds_alternative<Refusal>(*answer));
  EXPECT_TRUE(again.is_closed());
}

// FA-5: a host that does not know the token learns nothing but a hello.
TEST(FabricHandshake, AHostWithAnotherTokenIsNoticed) {
  const Initiator initiator(test_token(), kFabricLayout);
  auto challenge = make_frame<Challenge>();
  EXPECT_EQ(initiator.answer(challenge).error().code, std::errc::permission_denied);
  Responder responder(FabricToken::random(), kFabricLayout);
  EXPECT_EQ(responder.answer(initiator.hello()).error(), RefusalReason::wrong_token);
  Responder other(test_token(), kFabricLayout + 1);
  EXPECT_EQ(other.answer(initiator.hello()).error(), RefusalReason::other_layout);
}

// FA-8
TEST_P(FabricStrangers, GarbageOnThePortHarmsNobody) {
  std::mt19937_64 random(test_seed());
  FabricOptions options;
  options.lost_after = milliseconds(2'000);  // whoever says nothing may stay as long
  Side host(kind(), shapes({{64}}), options);
  publish_next(host.slot());
  const std::string address = host.fabric().address();
  const Wire silent(address);
  std::vector<std::unique_ptr<Wire>> patient;
  for (int round = 0; round < 60; ++round) {
    auto wire = std::make_unique<Wire>(address);
    std::vector<std::byte> bytes(random() % 600);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    if (round % 3 == 1) {  // a frame's beginning, then garbage
      const auto hello = Initiator(test_token(), kFabricLayout).hello();
      const std::size_t right = random() % sizeof hello;
      bytes.assign(bytes_of(hello).begin(), bytes_of(hello).end());
      for (std::size_t at = right; at < bytes.size(); ++at)
        bytes[at] = static_cast<std::byte>(random());
    } else if (round % 3 == 2) {  // frames of peers, from none
      const auto request = make_frame<ReadRequest>();
      bytes.assign(bytes_of(request).begin(), bytes_of(request).end());
    }
    wire->say(bytes);
    if (round % 2 == 0) {
      wire->say_no_more();
      EXPECT_TRUE(wire->is_closed());
    } else {
      patient.push_back(std::move(wire));
    }
  }
  EXPECT_TRUE(host.events().next(PeerEvent::Kind::refused));
  expect_service(kind(), host);
  for (const auto& wire : patient) EXPECT_TRUE(wire->is_closed());
  EXPECT_TRUE(silent.is_closed()) << "a handshake has a deadline";
}

// FA-8
TEST_P(FabricStrangers, APeerThatBreaksTheRulesLosesItsConnectionAlone) {
  Side host(kind(), shapes({{64}}, {{4}}));
  publish_next(host.slot());
  const auto broken = [&](const auto& frame, const char* what) {
    const Wire wire(host.fabric().address());
    ASSERT_TRUE(become_peer(wire, host.arena().segment())) << what;
    wire.say(frame);
    EXPECT_TRUE(wire.is_closed()) << what;
    const auto lost = host.events().next(PeerEvent::Kind::lost);
    ASSERT_TRUE(lost) << what;
    std::cout << what << ": " << lost->error.message << std::endl;
  };
  auto chunk = make_frame<Chunk>();
  chunk.read = 1;
  chunk.bytes = 64;
  broken(chunk, "a chunk of a read that nobody asked for");
  auto answer = make_frame<LetterAnswer>();
  answer.verdict = LetterVerdict::full;
  broken(answer, "an answer to a letter that nobody sent");
  auto request = make_frame<ReadRequest>();
  broken(request, "read 0");
  request.read = 1;
  request.slot = kMostSlotIndex;
  broken(request, "a slot beyond all bounds");
  auto letter = make_frame<LetterFrame>();
  letter.letter.bytes = 177;
  broken(letter, "a letter beyond its bounds");
  broken(make_frame<Hello>(), "a second hello");
  auto unknown = make_frame<Pulse>();
  unknown.head.kind = static_cast<FrameKind>(99);
  broken(unknown, "a frame of no kind");
  expect_service(kind(), host);
}

/// An arena where there is no such slot or mailbox is a peer's mistake, not a broken rule.
TEST(TcpFabric, WhatTheArenaDoesNotHaveIsAnAnswer) {
  Side host("tcp", shapes({{64}}));
  const Wire wire(host.fabric().address());
  const auto welcome = become_peer(wire, "");
  ASSERT_TRUE(welcome);
  EXPECT_EQ(welcome->slots, 1u);
  EXPECT_EQ(welcome->segment_bytes, 0u) << "of no use to a peer on another host";
  auto request = make_frame<ReadRequest>();
  request.read = 7;
  request.slot = 1;
  wire.say(request);
  const auto refusal = wire.hear();
  ASSERT_TRUE(refusal && std::holds_alternative<ReadRefusal>(*refusal));
  EXPECT_EQ(std::get<ReadRefusal>(*refusal).reason, ReadRefusalReason::no_such_slot);
}

TEST(TcpFabric, ItListensBeyondThisHostOnlyWhenToldTo) {
  Arena arena = Arena::create({"tcp-reach-test", kFabricLayout, {{8}}}).value();
  FabricOptions options;
  options.listen = "0.0.0.0:0";
  const auto refused = TcpFabric::open(arena, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, std::errc::permission_denied);
  options.reach = FabricOptions::Reach::network;
  EXPECT_TRUE(TcpFabric::open(arena, options));
}

}  // namespace
}  // namespace paceline
