// What the tests of fabrics share: a fabric of each kind by its name, with an arena of its own, and
// what happened to it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/hunt.h"
#include "paceline/net/shared_memory/shared_memory_fabric.h"
#include "paceline/net/tcp/tcp_fabric.h"
#include "paceline/net/verbs/verbs_fabric.h"

namespace paceline {

inline constexpr std::uint64_t kFabricLayout = 7;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline const std::vector<std::string>& fabric_kinds() {
  static const std::vector<std::string> kinds{"tcp", "shared_memory", "verbs"};
  return kinds;
}

/// Why a fabric of this kind cannot be had here; empty: it can.
inline std::string why_not(const std::string& kind) {
  return kind == "verbs" && rdma_addresses().empty() ? "no RDMA device here" : "";
}

/// Where the next fabric of this process over RDMA listens: a device each in turn, so that what goes
/// between two of them crosses a wire.
inline std::string rdma_place() {
  static std::atomic<std::size_t> next = getenv("PACELINE_RDMA_OTHER") != nullptr ? 1 : 0;
  const auto all = rdma_addresses();
  return all[next++ % all.size()].address + ":0";
}

/// Of all peers in the tests; no secret.
inline FabricToken test_token() { return FabricToken::from_text(std::string(64, '7')).value(); }

/// Far beyond what anything takes, on a machine that others use as well: a watchdog.
inline Deadline in_time() { return FabricClock::now() + seconds(60); }

/// The events of a fabric, in their order.
class Events {
 public:
  void add(const PeerEvent& event) {
    const std::scoped_lock lock(mutex_);
    all_.push_back(event);
    changed_.notify_all();
  }
  /// Waits for the next one of this kind, and takes it and all before it.
  std::optional<PeerEvent> next(PeerEvent::Kind kind, Deadline deadline = in_time()) {
    std::unique_lock lock(mutex_);
    for (;;) {
      while (!all_.empty()) {
        const PeerEvent event = all_.front();
        all_.erase(all_.begin());
        if (event.kind == kind) return event;
      }
      if (changed_.wait_until(lock, deadline) == std::cv_status::timeout) return std::nullopt;
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<PeerEvent> all_;
};

inline Result<std::unique_ptr<Fabric>> open_fabric(const std::string& kind, Arena& arena,
                                                   FabricOptions options) {
  if (kind == "tcp") return TcpFabric::open(arena, std::move(options));
  if (kind == "verbs") {
    if (options.listen.empty()) options.listen = rdma_place();
    return VerbsFabric::open(arena, std::move(options));
  }
  return SharedMemoryFabric::open(arena, std::move(options));
}

/// One side of a connection: an arena and the fabric that hosts it.
class Side {
 public:
  Side(const std::string& kind, ArenaOptions shapes, FabricOptions options = {})
      : arena_(make_arena(std::move(shapes), options.layout_hash)) {
    options.token = options.token.bytes == FabricToken().bytes ? test_token() : options.token;
    if (options.layout_hash == 0) options.layout_hash = kFabricLayout;
    options.on_event = [this](const PeerEvent& event) { events_.add(event); };
    auto opened = open_fabric(kind, arena_, std::move(options));
    PACELINE_CHECK(opened, "{}", opened.error().message);
    fabric_ = std::move(opened).value();
  }

  Arena& arena() { return arena_; }
  Slot slot(std::size_t index = 0) { return arena_.slot(index); }
  Fabric& fabric() { return *fabric_; }
  Events& events() { return events_; }
  void end_fabric() { fabric_.reset(); }

  Result<PeerId> try_to_connect(const std::string& address) {
    return fabric_->connect(address, in_time());
  }
  PeerId connect(const std::string& address) {
    const auto peer = try_to_connect(address);
    PACELINE_CHECK(peer, "{}", peer.error().message);
    return peer.value();
  }
  PeerId connect(Side& other) { return connect(other.fabric().address()); }

  /// Waits for a loan: one that has just been given back, or a pin, may be about to go.
  Loan loan(std::size_t index = 0) {
    for (const Deadline end = in_time(); FabricClock::now() < end;)
      if (auto loan = slot(index).loan()) return std::move(*loan);
    PACELINE_CHECK(false, "no loan of slot {} in time", index);
    std::abort();
  }

 private:
  static Arena make_arena(ArenaOptions shapes, std::uint64_t layout_hash) {
    shapes.name = fmt::format("fabric-test-{}", FabricToken::random().text().substr(0, 8));
    shapes.layout_hash = layout_hash == 0 ? kFabricLayout : layout_hash;
    shapes.huge_pages = false;
    return Arena::create(shapes).value();
  }

  Arena arena_;
  Events events_;
  std::unique_ptr<Fabric> fabric_;
};

inline ArenaOptions shapes(std::vector<SlotShape> slots, std::vector<MailboxShape> mailboxes = {}) {
  ArenaOptions options;
  options.slots = std::move(slots);
  options.mailboxes = std::move(mailboxes);
  return options;
}

/// Bytes of which each tells its version, however many there are.
inline std::byte byte_of(std::uint64_t version, std::size_t at) {
  return static_cast<std::byte>(word_of_version(version + (at >> 3)) >> (8 * (at & 7)));
}
inline void write_version(std::span<std::byte> payload, std::uint64_t version) {
  for (std::size_t at = 0; at < payload.size(); ++at) payload[at] = byte_of(version, at);
}
inline bool is_version(std::span<const std::byte> payload, std::uint64_t version) {
  bool same = true;
  for (std::size_t at = 0; at < payload.size(); ++at) same &= payload[at] == byte_of(version, at);
  return same;
}

/// @return the version; 0 when readers hold every buffer
inline std::uint64_t publish_next(Slot slot) {
  auto loan = slot.loan();
  if (!loan) return 0;
  write_version(loan->bytes(), slot.version() + 1);
  return std::move(*loan).publish();
}

}  // namespace paceline
