#include "paceline/apps/bench_step.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "paceline/compute/device.h"
#include "paceline/compute/random.h"

namespace paceline {
namespace {

constexpr std::uint64_t kWarmUp = 3, kSteps = 20;
constexpr std::uint64_t kSeed = 1;

}  // namespace

Result<nlohmann::json> bench_step(const Network& network, std::size_t batch, unsigned threads) {
  PACELINE_TRY(const auto device, open_device("cpu", {.threads = threads}));
  PACELINE_TRY(const auto executable, device->compile(network.program(), {.batch = batch}));
  std::vector<float> all(network.layout().all_elements());
  network.initialise(all, kSeed);
  const std::size_t parameters = network.layout().elements;
  const Vector x{all.data(), parameters}, buffers{all.data() + parameters, all.size() - parameters};
  std::vector<float> m(parameters), g(parameters);
  Rng rng(kSeed);
  std::vector<float> images(batch * network.image().count());
  for (float& pixel : images) pixel = static_cast<float>(rng.normal());
  std::vector<std::int32_t> labels(batch);
  for (std::int32_t& label : labels)
    label = static_cast<std::int32_t>(rng.below(network.classes()));

  const auto view = [](std::vector<float>& v) { return Vector{v.data(), v.size()}; };
  const Sgd sgd{.learning_rate = network.learning_rate()};
  double loss = 0;
  std::vector<double> seconds;
  for (std::uint64_t step = 0; step < kWarmUp + kSteps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    loss = executable->train_step(x, buffers, view(g), {images, labels}, step);
    device->math().update(sgd, x, view(m), view(g), {});
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (step >= kWarmUp) seconds.push_back(elapsed.count());
  }
  std::ranges::nth_element(seconds, seconds.begin() + kSteps / 2);
  const double median = seconds[kSteps / 2];
  return nlohmann::json{{"network", network.name()},
                        {"batch", batch},
                        {"threads", threads},
                        {"images_per_second", static_cast<double>(batch) / median},
                        {"milliseconds", median * 1e3},
                        {"loss", loss},
                        {"activation_bytes", executable->activation_bytes()},
                        {"device", device->description()}};
}

}  // namespace paceline
