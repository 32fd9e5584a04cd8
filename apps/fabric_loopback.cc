#include "paceline/apps/fabric_loopback.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace paceline {

Result<double> loopback_bytes_per_second(FabricKind kind, FabricOptions options) {
  constexpr std::size_t kBytes = 16 << 20;
  constexpr int kReads = 5;
  const Deadline deadline = FabricClock::now() + std::chrono::seconds(10);
  options.token = FabricToken::random();
  PACELINE_TRY(Arena near, Arena::create({.name = "loopback-near", .slots = {{.bytes = kBytes}}}));
  PACELINE_TRY(Arena far, Arena::create({.name = "loopback-far", .slots = {{.bytes = kBytes}}}));
  PACELINE_TRY(const auto host, open_fabric(kind, far, options));
  PACELINE_TRY(const auto reader, open_fabric(kind, near, options));
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
