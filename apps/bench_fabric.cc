#include "bench_fabric.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "paceline/net/child_process.h"

namespace paceline {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kTokenVariable = "PACELINE_FABRIC_TOKEN";
constexpr std::size_t kSizes[] = {8,       4 << 10,  64 << 10, 1 << 20,
                                  4 << 20, 16 << 20, 64 << 20, 256 << 20};
constexpr std::size_t kLanes = 8;  // reads that are under way together, each into a slot of its own
constexpr std::size_t kLargestOfLanes = 1 << 20;
constexpr int kLetters = 2'000;
// Between two looks at the clock, which can take as long as a small read (in a guest it is a system call).
constexpr int kLettersAtOnce = 20;
constexpr std::size_t kBytesAtOnce = 256 << 10;
constexpr std::size_t kMostReadsAtOnce = 16;
constexpr int kFewestReads = 5;
constexpr milliseconds kLongEnough{700};  // of reads of one size
constexpr seconds kPatience{30};

Deadline in_time() { return FabricClock::now() + kPatience; }

std::vector<std::size_t> sizes_to(std::size_t largest) {
  std::vector<std::size_t> sizes;
  std::ranges::copy_if(kSizes, std::back_inserter(sizes),
                       [&](std::size_t bytes) { return bytes <= largest; });
  return sizes;
}

/// Every size to the largest, then the further lanes of those that have some; a mailbox.
ArenaOptions shapes(const std::string& name, std::size_t largest) {
  ArenaOptions options;
  options.name = name;
  for (const std::size_t bytes : sizes_to(largest)) options.slots.push_back({bytes});
  for (const std::size_t bytes : sizes_to(std::min(largest, kLargestOfLanes)))
    options.slots.insert(options.slots.end(), kLanes - 1, {bytes});
  options.mailboxes = {{1 << 10}};
  return options;
}

FabricOptions listening_at(const std::string& address) {
  FabricOptions options;
  options.listen = address;
  if (!address.empty()) options.reach = FabricOptions::Reach::network;
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
  for (int i = 0; i < kLetters; i += kLettersAtOnce) {
    const Deadline deadline = in_time();
    const auto start = FabricClock::now();
    bool all_sent = true;
    for (int each = 0; each < kLettersAtOnce; ++each) {
      const auto sent = send_and_wait(fabric, peer, 0, {}, deadline);
      if (!sent && sent.error().code != std::errc::no_buffer_space) return sent.error();
      if (!sent) all_sent = false;  // the other one is slow to take them
    }
    if (all_sent) times.push_back(seconds_since(start) / kLettersAtOnce);
  }
  if (times.empty()) return fail(std::errc::no_buffer_space, "the peer's mailbox is always full");
  return median(times);
}

Result<nlohmann::json> read_figures(Fabric& fabric, PeerId peer, Slot slot, std::uint32_t index) {
  std::vector<double> times;
  const std::size_t at_once =
      std::clamp<std::size_t>(kBytesAtOnce / slot.bytes(), 1, kMostReadsAtOnce);
  const auto begin = FabricClock::now();
  while (times.size() < kFewestReads || FabricClock::now() - begin < kLongEnough) {
    const Deadline deadline = in_time();
    const auto start = FabricClock::now();
    for (std::size_t each = 0; each < at_once; ++each) {
      PACELINE_TRY(Arrival arrival, read_and_wait(fabric, peer, RemoteSlot::newest(index),
                                                  std::move(*slot.loan()), deadline));
      std::move(arrival.loan).publish();  // the next one goes to another buffer, as in a run
    }
    times.push_back(seconds_since(start) / static_cast<double>(at_once));
  }
  const double time = median(times);
  return nlohmann::json{{"bytes", slot.bytes()},
                        {"seconds", time},
                        {"bytes_per_second", static_cast<double>(slot.bytes()) / time}};
}

/// Reads of one slot of the peer, into several here at a time.
class Lanes {
 public:
  Lanes(Fabric& fabric, PeerId peer, std::uint32_t from, std::vector<Slot> into)
      : fabric_(fabric), peer_(peer), from_(from), into_(std::move(into)) {}

  Result<double> bytes_per_second() {
    const auto start = FabricClock::now();
    end_ = start + kLongEnough;
    deadline_ = end_ + kPatience;
    under_way_ = into_.size();
    for (std::size_t lane = 0; lane < into_.size(); ++lane) read(lane);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return under_way_ == 0; });  // each has a deadline
    if (error_.code) return error_;
    return static_cast<double>(bytes_) / seconds_since(start);
  }

 private:
  void read(std::size_t lane) {
    fabric_.read(peer_, RemoteSlot::newest(from_), std::move(*into_[lane].loan()), deadline_,
                 [this, lane](Result<Arrival> arrival) { arrived(lane, std::move(arrival)); });
  }
  /// On a thread of the fabric, which goes on with the next read at once.
  void arrived(std::size_t lane, Result<Arrival> arrival) {
    if (arrival) std::move(arrival.value().loan).publish();
    std::unique_lock lock(mutex_);
    if (arrival)
      bytes_ += into_[lane].bytes();
    else
      error_ = arrival.error();
    if (++arrived_ % kLanes == 0) is_over_ = FabricClock::now() >= end_;
    if (!error_.code && !is_over_) {
      lock.unlock();
      return read(lane);
    }
    --under_way_;
    changed_.notify_one();
  }

  Fabric& fabric_;
  const PeerId peer_;
  const std::uint32_t from_;
  const std::vector<Slot> into_;
  Deadline end_, deadline_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t under_way_ = 0, arrived_ = 0;
  bool is_over_ = false;
  std::uint64_t bytes_ = 0;
  Error error_;
};

Result<nlohmann::json> all_read_figures(Fabric& fabric, PeerId peer, const Arena& arena,
                                        std::size_t largest) {
  const auto sizes = sizes_to(largest);
  nlohmann::json reads = nlohmann::json::array();
  for (std::uint32_t i = 0; i < sizes.size(); ++i) {
    PACELINE_TRY(nlohmann::json row, read_figures(fabric, peer, arena.slot(i), i));
    if (sizes[i] <= kLargestOfLanes) {
      std::vector<Slot> into{arena.slot(i)};
      for (std::size_t lane = 0; lane < kLanes - 1; ++lane)
        into.push_back(arena.slot(sizes.size() + i * (kLanes - 1) + lane));
      PACELINE_TRY(row["bytes_per_second_of_eight"],
                   Lanes(fabric, peer, i, std::move(into)).bytes_per_second());
    }
    reads.push_back(std::move(row));
  }
  return reads;
}

Result<nlohmann::json> measure(FabricKind kind, const FabricBenchOptions& given) {
  const std::size_t largest = given.largest_bytes;
  PACELINE_TRY(Arena arena, Arena::create(shapes("bench-fabric", largest)));
  std::promise<PeerId> arrived;
  std::once_flag once;
  FabricOptions options = listening_at(given.here);
  options.token = FabricToken::random();
  options.on_event = [&](const PeerEvent& event) {
    if (event.kind == PeerEvent::Kind::arrived)
      std::call_once(once, [&] { arrived.set_value(event.peer); });
  };
  PACELINE_TRY(const auto fabric, open_fabric(kind, arena, options));
  const std::string peer_words =
      fmt::format("{} {} {} {} {} {}", word_of(kind), fabric->address(), largest,
                  this_process().pid, this_process().start_time, given.there);
  PACELINE_TRY(const ChildProcess child,
               ChildProcess::start({"/proc/self/exe", "bench", "fabric", "--peer", peer_words},
                                   {std::string(kTokenVariable) + "=" + options.token.text()}));
  auto peer = arrived.get_future();
  if (peer.wait_for(kPatience) != std::future_status::ready)
    return fail(std::errc::timed_out, "the other process does not connect over {}", word_of(kind));
  const PeerId other = peer.get();
  PACELINE_TRY(nlohmann::json reads, all_read_figures(*fabric, other, arena, largest));
  PACELINE_TRY(const double letter, letter_seconds(*fabric, other));
  return nlohmann::json{
      {"fabric", word_of(kind)}, {"letter_seconds", letter}, {"reads", std::move(reads)}};
}

}  // namespace

Result<nlohmann::json> bench_fabric(const FabricBenchOptions& options) {
  nlohmann::json results = nlohmann::json::array();
  for (const FabricKind kind : options.fabrics) {
    auto row = measure(kind, options);
    Arena::sweep();  // the other process, which hosts an arena, was killed
    if (!row) return row.error();
    results.push_back(std::move(row).value());
  }
  return nlohmann::json{{"cores", std::thread::hardware_concurrency()},
                        {"results", std::move(results)}};
}

Error answer_bench_fabric(const std::string& peer) {
  std::istringstream words(peer);
  std::string kind, address, listen;
  std::size_t largest = 0;
  ProcessIdentity parent;
  const char* token = std::getenv(kTokenVariable);
  if (!(words >> kind >> address >> largest >> parent.pid >> parent.start_time) || token == nullptr)
    return fail(std::errc::invalid_argument, "'{}' is no peer of paceline bench fabric", peer);
  words >> listen;  // or anywhere
  if (const auto bound = die_with_parent(parent); !bound) return bound.error();
  auto arena = Arena::create(shapes("bench-fabric", largest));
  if (!arena) return arena.error();
  for (std::size_t i = 0; i < arena.value().slots(); ++i) {
    auto loan = arena.value().slot(i).loan();
    std::ranges::fill(loan->bytes(), std::byte{1});
    std::move(*loan).publish();
  }
  FabricOptions options = listening_at(listen);
  const auto secret = FabricToken::from_text(token);
  if (!secret) return secret.error();
  options.token = secret.value();
  const auto known = fabric_named(kind);
  if (!known) return known.error();
  const auto fabric = open_fabric(known.value(), arena.value(), options);
  if (!fabric) return fabric.error();
  if (const auto connected = fabric.value()->connect(address, in_time()); !connected)
    return connected.error();
  for (Letter letter;;) arena.value().mailbox(0).wait(letter, std::chrono::hours(1));
}

}  // namespace paceline
