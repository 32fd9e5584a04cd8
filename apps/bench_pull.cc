#include "paceline/apps/bench_pull.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <vector>

#include "paceline/compute/device.h"

namespace paceline {
namespace {

constexpr int kRounds = 15;

/// Of this thread's processor time, which other programs disturb less than the clock on the wall;
/// all passes run on this thread.
template <class F>
double seconds(F f) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  f();
  return now() - start;
}

double median(std::vector<double> times) {
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

nlohmann::json measure(Device& device, std::size_t bytes) {
  const std::size_t count = bytes / sizeof(float);
  const VectorMath& math = device.math();
  std::vector<std::unique_ptr<DeviceMemory>> memories;
  const auto filled = [&](double value) {
    memories.push_back(device.allocate(bytes).value());
    const Vector v{memories.back()->data(), count};
    math.fill(v, value);
    return v;
  };
  const Vector x = filled(1.0), m = filled(0.1), g = filled(0.01);
  const Vector local = filled(0.9), global = filled(0.8);
  const Vector local_copy = filled(0), global_copy = filled(0);
  const Sgd sgd;
  const auto fused = [&] {
    const std::array pulls = {Pull{local, 0.1}, Pull{global, 0.1}};
    math.update(sgd, x, m, g, pulls);
  };
  const auto separate = [&] {
    math.copy(local_copy, local);
    math.copy(global_copy, global);
    math.update(sgd, x, m, g, {});
    math.pull(x, {local_copy, 0.1});
    math.pull(x, {global_copy, 0.1});
  };
  std::vector<double> fused_times, separate_times;
  for (int round = 0; round <= kRounds; ++round) {
    const double one = seconds(fused), other = seconds(separate);
    if (round == 0) continue;  // pages and caches are warm after it
    fused_times.push_back(one);
    separate_times.push_back(other);
  }
  const double fused_seconds = median(fused_times), separate_seconds = median(separate_times);
  const double moved = 7.0 * static_cast<double>(bytes);  // reads x, m, g, two leaders; writes x, m
  return {{"bytes", bytes},
          {"fused_seconds", fused_seconds},
          {"separate_seconds", separate_seconds},
          {"speedup", separate_seconds / fused_seconds},
          {"bytes_per_second", moved / fused_seconds}};
}

}  // namespace

nlohmann::json bench_pull() {
  nlohmann::json results = nlohmann::json::array();
  const auto device = open_device("cpu", {}).value();  // is linked in
  for (const std::size_t mebibytes : {1, 16, 64})
    results.push_back(measure(*device, mebibytes << 20));
  return {{"results", std::move(results)}};
}

}  // namespace paceline
