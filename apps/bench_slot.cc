#include "bench_slot.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "paceline/net/arena.h"

namespace paceline {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMebibyte = std::size_t{1} << 20;
constexpr int kRepeats = 31;  // of which the median counts
constexpr std::size_t kBytesARepeat = 256 * kMebibyte;
constexpr int kPins = 10'000;  // a repeat

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class Body>
double seconds(int times, Body body) {
  const auto start = Clock::now();
  for (int i = 0; i < times; ++i) body(i);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Arena make_arena(std::size_t bytes, bool checksums) {
  // Slot 0 is published to; slot 1, which nobody reads, only lends its memory to the plain copy.
  ArenaOptions options{checksums ? "bench-checksums" : "bench-slot", 0, {{bytes}, {bytes}}};
  options.checksums = checksums;
  auto shared = Arena::create(options);
  return shared ? std::move(shared).value() : Arena::local(options).value();
}

void publish(Slot slot, std::span<const std::byte> from) {
  auto loan = slot.loan();
  copy_block(loan->bytes(), from);
  std::move(*loan).publish();
}

/// Warms the two buffers that `slot` takes in turn while nobody pins. @return them
std::vector<std::span<std::byte>> buffers_in_turn(Slot slot, std::span<const std::byte> from) {
  std::vector<std::span<std::byte>> buffers;
  for (int i = 0; i < 2; ++i) {
    auto loan = slot.loan();
    copy_block(loan->bytes(), from);
    buffers.push_back(loan->bytes());
    std::move(*loan).publish();
  }
  return buffers;
}

nlohmann::json measure_publish(const Arena& arena, const Arena& checksummed) {
  const Slot slot = arena.slot(0);
  const std::vector<std::byte> from(slot.bytes(), std::byte{1});
  const auto plain = buffers_in_turn(arena.slot(1), from);
  buffers_in_turn(slot, from);
  buffers_in_turn(checksummed.slot(0), from);
  const int times = static_cast<int>(kBytesARepeat / from.size());
  std::vector<double> publishing, copying, summing, checking;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    publishing.push_back(seconds(times, [&](int) { publish(slot, from); }));
    copying.push_back(
        seconds(times, [&](int i) { std::memcpy(plain[i % 2].data(), from.data(), from.size()); }));
    summing.push_back(seconds(times, [&](int) { publish(checksummed.slot(0), from); }));
    checking.push_back(seconds(times, [&](int) { checksummed.slot(0).pin(); }));
  }
  const double bytes = static_cast<double>(from.size()) * times;
  return {{"bytes", from.size()},
          {"publish_bytes_per_second", bytes / median(publishing)},
          {"memcpy_bytes_per_second", bytes / median(copying)},
          {"ratio", median(copying) / median(publishing)},
          {"checksummed_ratio", median(copying) / median(summing)},
          {"checksummed_pin_microseconds", median(checking) / times * 1e6}};
}

double measure_pin(const Arena& arena) {
  std::uint64_t versions = 0;  // used, so that no pin is optimised away
  std::vector<double> pinning;
  for (int repeat = 0; repeat < kRepeats; ++repeat)
    pinning.push_back(seconds(kPins, [&](int) { versions += arena.slot(0).pin().version(); }));
  PACELINE_CHECK(versions != 0, "nothing was published");
  return median(pinning) / kPins * 1e9;
}

}  // namespace

nlohmann::json bench_slot() {
  nlohmann::json report;
  for (const std::size_t bytes : {kMebibyte, 16 * kMebibyte, 64 * kMebibyte}) {
    const Arena arena = make_arena(bytes, false), checksummed = make_arena(bytes, true);
    report["memory"] = arena.segment().empty() ? "private" : "shared";
    report["huge_pages"] = arena.huge_pages();
    report["results"].push_back(measure_publish(arena, checksummed));
    report["pin_nanoseconds"] = measure_pin(arena);
  }
  return report;
}

}  // namespace paceline
