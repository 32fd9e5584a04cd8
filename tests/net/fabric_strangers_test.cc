// The conformance suite of fabrics: who is no peer. Strangers with another token or layout, garbage
// on the port, and peers that have the token and break the rules.
#include <gtest/gtest.h>

#include <iostream>
#include <random>

#include "net/fabric_stage.h"
#include "net/wire.h"
#include "paceline/net/handshake_internal.h"
#include "test_seed.h"

namespace paceline {
namespace {

class FabricStrangers : public testing::TestWithParam<std::string> {
 protected:
  static std::string kind() { return GetParam(); }
  void SetUp() override {
    if (const auto why = why_not(kind()); !why.empty()) GTEST_SKIP() << why;
  }
};
INSTANTIATE_TEST_SUITE_P(All, FabricStrangers, testing::ValuesIn(fabric_kinds()),
                         [](const auto& each) { return each.param; });

/// Goes through the handshake as a peer would.
/// @return what the host told of itself
std::optional<Welcome> become_peer(const std::string& kind, const Wire& wire,
                                   const std::string& segment, ArenaOffer* offered = nullptr) {
  const Initiator initiator(test_token(), kFabricLayout);
  wire.say(initiator.hello());
  const auto challenge = wire.hear();
  if (!challenge || !std::holds_alternative<Challenge>(*challenge)) return std::nullopt;
  const auto proof = initiator.answer(std::get<Challenge>(*challenge));
  if (!proof) return std::nullopt;
  wire.say(proof.value());
  if (kind == "verbs") {
    auto offer = make_frame<ArenaOffer>();
    offer.bytes = 1;
    wire.say(offer);
  }
  auto welcome = make_frame<Welcome>();
  welcome.segment_bytes = static_cast<std::uint32_t>(segment.size());
  std::ranges::copy(segment, welcome.segment.begin());
  wire.say(welcome);
  auto answer = wire.hear();
  if (answer && std::holds_alternative<ArenaOffer>(*answer)) {
    if (offered != nullptr) *offered = std::get<ArenaOffer>(*answer);
    answer = wire.hear();
  }
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
  const Wire first(kind(), host.fabric().address()), again(kind(), host.fabric().address());
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
  const Wire silent(kind(), address);
  std::vector<std::unique_ptr<Wire>> patient;
  for (int round = 0; round < 60; ++round) {
    auto wire = std::make_unique<Wire>(kind(), address);
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
    const Wire wire(kind(), host.fabric().address());
    ASSERT_TRUE(become_peer(kind(), wire, host.arena().segment())) << what;
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
  const Wire wire("tcp", host.fabric().address());
  const auto welcome = become_peer("tcp", wire, "");
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

// FA-5, VB-1: a key that was overheard opens nothing to who has not proved itself, and to nobody for writing.
TEST(VerbsFabric, MemoryIsReadByPeersAloneAndWrittenByNobody) {
  if (const auto why = why_not("verbs"); !why.empty()) GTEST_SKIP() << why;
  Side host("verbs", shapes({{64}}));
  const auto end_of = [](const Wire& wire) { return dynamic_cast<QueuePairEnd*>(&wire.end()); };
  ArenaOffer offer;
  const Wire peer("verbs", host.fabric().address());
  ASSERT_TRUE(become_peer("verbs", peer, "", &offer));
  EXPECT_EQ(end_of(peer)->reach(offer.address, offer.key, false), IBV_WC_SUCCESS);
  const Wire stranger("verbs", host.fabric().address());
  EXPECT_NE(end_of(stranger)->reach(offer.address, offer.key, false), IBV_WC_SUCCESS);
  EXPECT_NE(end_of(peer)->reach(offer.address, offer.key, true), IBV_WC_SUCCESS);
}

TEST(VerbsFabric, WithoutADeviceOpeningSaysWhatToDo) {
  Arena arena = Arena::create({"verbs-none-test", kFabricLayout, {{8}}}).value();
  FabricOptions options;
  options.listen = "127.0.0.1:0";
  const auto none = VerbsFabric::open(arena, options);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, std::errc::no_such_device) << none.error().message;
  std::cout << none.error().message << std::endl;
  if (!rdma_addresses().empty()) return;
  options.listen.clear();
  const auto nowhere = VerbsFabric::open(arena, options);
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, std::errc::no_such_device) << nowhere.error().message;
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
