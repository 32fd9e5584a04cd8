// What a worker's process tells the node's: through proxies, a mailbox and the node's postman.
#include "paceline/actors/post.h"

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include "paceline/actors/node_post.h"

namespace paceline {
namespace {

/// A centre that only notes what it hears.
class Listener {
 public:
  RoleActor spawn(caf::actor_system& system) {
    return system.spawn([this](RoleActor::pointer) -> RoleActor::behavior_type {
      return {[this](const Wire& wire) { note(to_packet(wire).round); },
              [](Begin) {},
              [](Stop) {},
              [](Tick) {},
              [](const Fetched&) {},
              [](const EngineEnded&) {},
              [](Drain) {
                return caf::result<std::uint64_t, bool>{0, true};
              },
              [](Seated) {},
              [](SaveState) { return false; },
              [this](const Saved& saved) { note(1'000'000 * (1 + saved.rank) + saved.request); }};
    });
  }
  std::vector<std::uint64_t> heard() {
    const std::lock_guard lock(mutex_);
    return heard_;
  }

 private:
  void note(std::uint64_t what) {
    const std::lock_guard lock(mutex_);
    heard_.push_back(what);
  }
  std::mutex mutex_;
  std::vector<std::uint64_t> heard_;
};

TEST(Post, TellsTheCentreThatAWorkerHasSavedBehindAllThatTheWorkerTellsIt) {
  constexpr std::chrono::seconds kDeadline{60};  // a watchdog, no bound
  constexpr std::uint64_t kPackets = 3000;       // more than a mailbox holds
  caf::actor_system_config config;
  use_sharing_scheduler(config, 2);
  caf::actor_system system(config);
  const Place place{1, 2};
  const NodeArena node = NodeArena::create(place, 7, 0).value();
  const RunOptions options;
  const Network network = Network::named("lenet", {1, 28, 28}, 10).value();
  const Data data;
  RunContext context(options, network, data, node.words());
  context.place = place;
  context.directory.resize(place.roles());
  Listener listener;
  RoleActor& centre = context.directory[place.global().index] = listener.spawn(system);

  NodePost post(context, node, {});
  MailboxOutbox out(node.mailbox(), NodeArena::sender(1));
  post.start(system, [&] { return !out.flush(); });  // here, the worker's postman as well
  const RoleActor proxy = spawn_role_proxy(system, &out, place.worker(1), place.global());
  for (std::uint64_t i = 1; i <= kPackets; ++i) {
    Packet packet;
    packet.from = 1;
    packet.round = i;
    anonymously_tell(proxy, to_wire(packet));
  }
  anonymously_tell(proxy, Saved{1, 5});

  const auto until = std::chrono::steady_clock::now() + kDeadline;
  while (listener.heard().size() <= kPackets && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const std::vector<std::uint64_t> heard = listener.heard();
  ASSERT_EQ(heard.size(), kPackets + 1);
  for (std::uint64_t i = 0; i < kPackets; ++i) ASSERT_EQ(heard[i], i + 1);
  EXPECT_EQ(heard.back(), 2'000'005u);
  post.end();
  for (const RoleActor& actor : {proxy, centre})
    caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
}

}  // namespace
}  // namespace paceline
