#include "bench_fabric.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "paceline/net/child_process.h"
#include "paceline/net/fabric_kind.h"

namespace paceline {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kTokenVariable = "PACELINE_FABRIC_TOKEN";
constexpr std::size_t kSizes[] = {8,       4 << 10,  64 << 10, 1 << 20,
                                  4 << 20, 16 << 20, 64 << 20, 256 << 20};
constexpr int kLetters = 2'000;
constexpr int kFewestReads = 5;
constexpr milliseconds kLongEnough{700};  // of reads of one size
constexpr seconds kPatience{30};

Deadline in_time() { return FabricClock::now() + kPatience; }

/// Every size to the largest, and a mailbox.
ArenaOptions shapes(const std::string& name, std::size_t largest) {
  ArenaOptions options;
  options.name = name;
  for (const std::size_t bytes : kSizes)
    if (bytes <= largest) options.slots.push_back({bytes});
  options.mailboxes = {{1 << 10}};
  return options;
}

double seconds_since(Deadline start) {
  return std::chrono::duration<double>(FabricClock::now() - start).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Result<double> letter_seconds(Fabric& fabric, PeerId peer) {
  std::vector<double> times;
  for (int i = 0; i < kLetters; ++i) {
    const auto start = FabricClock::now();
    const auto sent = send_and_wait(fabric, peer, 0, {}, in_time());
    if (sent)
      times.push_back(seconds_since(start));
    else if (sent.error().code != std::errc::no_buffer_space)  // the other one is slow to take them
      return sent.error();
  }
  return median(times);
}

Result<nlohmann::json> read_figures(Fabric& fabric, PeerId peer, Slot slot, std::uint32_t index) {
  std::vector<double> times;
  const auto begin = FabricClock::now();
  while (times.size() < kFewestReads || FabricClock::now() - begin < kLongEnough) {
    const auto start = FabricClock::now();
    PACELINE_TRY(Arrival arrival, read_and_wait(fabric, peer, RemoteSlot::newest(index),
                                                std::move(*slot.loan()), in_time()));
    times.push_back(seconds_since(start));
    std::move(arrival.loan).publish();  // the next one goes to another buffer, as in a run
  }
  const double time = median(times);
  return nlohmann::json{{"bytes", slot.bytes()},
                        {"seconds", time},
                        {"bytes_per_second", static_cast<double>(slot.bytes()) / time}};
}

Result<nlohmann::json> measure(FabricKind kind, std::size_t largest) {
  PACELINE_TRY(Arena arena, Arena::create(shapes("bench-fabric", largest)));
  std::promise<PeerId> arrived;
  std::once_flag once;
  FabricOptions options;
  options.token = FabricToken::random();
  options.on_event = [&](const PeerEvent& event) {
    if (event.kind == PeerEvent::Kind::arrived)
      std::call_once(once, [&] { arrived.set_value(event.peer); });
  };
  PACELINE_TRY(const auto fabric, open_fabric(kind, arena, options));
  const std::string peer_words =
      fmt::format("{} {} {} {} {}", word_of(kind), fabric->address(), largest, this_process().pid,
                  this_process().start_time);
  PACELINE_TRY(const ChildProcess child,
               ChildProcess::start({"/proc/self/exe", "bench", "fabric", "--peer", peer_words},
                                   {std::string(kTokenVariable) + "=" + options.token.text()}));
  auto peer = arrived.get_future();
  if (peer.wait_for(kPatience) != std::future_status::ready)
    return fail(std::errc::timed_out, "the other process does not connect over {}", word_of(kind));
  const PeerId other = peer.get();
  nlohmann::json reads = nlohmann::json::array();
  for (std::uint32_t i = 0; i < arena.slots(); ++i) {
    PACELINE_TRY(nlohmann::json row, read_figures(*fabric, other, arena.slot(i), i));
    reads.push_back(std::move(row));
  }
  PACELINE_TRY(const double letter, letter_seconds(*fabric, other));
  return nlohmann::json{
      {"fabric", word_of(kind)}, {"letter_seconds", letter}, {"reads", std::move(reads)}};
}

}  // namespace

Result<nlohmann::json> bench_fabric(std::size_t largest) {
  nlohmann::json results = nlohmann::json::array();
  for (const FabricKind kind : {FabricKind::tcp, FabricKind::shared_memory}) {
    auto row = measure(kind, largest);
    Arena::sweep();  // the other process, which hosts an arena, was killed
    if (!row) return row.error();
    results.push_back(std::move(row).value());
  }
  return nlohmann::json{{"cores", std::thread::hardware_concurrency()},
                        {"results", std::move(results)}};
}

Error answer_bench_fabric(const std::string& peer) {
  std::istringstream words(peer);
  std::string kind, address;
  std::size_t largest = 0;
  ProcessIdentity parent;
  const char* token = std::getenv(kTokenVariable);
  if (!(words >> kind >> address >> largest >> parent.pid >> parent.start_time) || token == nullptr)
    return fail(std::errc::invalid_argument, "'{}' is no peer of paceline bench fabric", peer);
  if (const auto bound = die_with_parent(parent); !bound) return bound.error();
  auto arena = Arena::create(shapes("bench-fabric", largest));
  if (!arena) return arena.error();
  for (std::size_t i = 0; i < arena.value().slots(); ++i) {
    auto loan = arena.value().slot(i).loan();
    std::ranges::fill(loan->bytes(), std::byte{1});
    std::move(*loan).publish();
  }
  FabricOptions options;
  const auto secret = FabricToken::from_text(token);
  if (!secret) return secret.error();
  options.token = secret.value();
  const auto& known = fabric_words();
  const auto named = std::ranges::find(known, kind, [](const auto& each) { return each.first; });
  if (named == known.end()) return fail(std::errc::invalid_argument, "no fabric '{}'", kind);
  const auto fabric = open_fabric(named->second, arena.value(), options);
  if (!fabric) return fabric.error();
  if (const auto connected = fabric.value()->connect(address, in_time()); !connected)
    return connected.error();
  for (Letter letter;;) arena.value().mailbox(0).wait(letter, std::chrono::hours(1));
}

}  // namespace paceline
