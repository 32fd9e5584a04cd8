#include "paceline/apps/named_fabric.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "paceline/net/shared_memory/shared_memory_fabric.h"
#include "paceline/net/tcp/tcp_fabric.h"
#include "paceline/net/verbs/verbs_fabric.h"

namespace paceline {

const std::vector<std::string>& fabric_names() {
  static const std::vector<std::string> names{"tcp", "shared_memory", "verbs"};
  return names;
}

Result<std::unique_ptr<Fabric>> open_named_fabric(const std::string& name, Arena& arena,
                                                  FabricOptions options) {
  if (name == "tcp") return TcpFabric::open(arena, std::move(options));
  if (name == "verbs") return VerbsFabric::open(arena, std::move(options));
  if (name == "shared_memory") return SharedMemoryFabric::open(arena, std::move(options));
  return fail(std::errc::invalid_argument, "no fabric '{}'; there are {}", name,
              fmt::join(fabric_names(), ", "));
}

Result<double> loopback_bytes_per_second(const std::string& name, FabricOptions options) {
  constexpr std::size_t kBytes = 16 << 20;
  constexpr int kReads = 5;
  const Deadline deadline = FabricClock::now() + std::chrono::seconds(10);
  options.token = FabricToken::random();
  PACELINE_TRY(Arena near, Arena::create({.name = "loopback-near", .slots = {{.bytes = kBytes}}}));
  PACELINE_TRY(Arena far, Arena::create({.name = "loopback-far", .slots = {{.bytes = kBytes}}}));
  PACELINE_TRY(const auto host, open_named_fabric(name, far, options));
  PACELINE_TRY(const auto reader, open_named_fabric(name, near, options));
  Loan written = std::move(*far.slot(0).loan());
  std::ranges::fill(written.bytes(), std::byte{1});
  std::move(written).publish();
  PACELINE_TRY(const PeerId peer, reader->connect(host->address(), deadline));
  std::vector<double> times;
  for (int i = 0; i < kReads; ++i) {
    const auto start = FabricClock::now();
    PACELINE_TRY(Arrival arrival, read_and_wait(*reader, peer, RemoteSlot::newest(0),
                                                std::move(*near.slot(0).loan()), deadline));
    times.push_back(std::chrono::duration<double>(FabricClock::now() - start).count());
    std::move(arrival.loan).publish();
  }
  std::ranges::nth_element(times, times.begin() + kReads / 2);
  return static_cast<double>(kBytes) / times[kReads / 2];
}

}  // namespace paceline
