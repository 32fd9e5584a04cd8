#include "paceline/apps/bench_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <vector>

#include "paceline/apps/finding.h"
#include "paceline/apps/readable_number.h"
#include "paceline/apps/roofline.h"
#include "paceline/compute/device.h"
#include "paceline/compute/machine_limits.h"
#include "paceline/compute/random.h"
#include "paceline/layers/network_file.h"

namespace paceline {
namespace {

constexpr std::uint64_t kWarmUp = 3, kSteps = 20;
constexpr std::uint64_t kSeed = 1;

/// Refuses what would swap the machine to a halt instead of failing.
Result<> check_memory(const Network& network, std::size_t batch) {
  double activations = 0;
  for (const Shape& shape : network.program().activations)
    activations += sizeof(float) * static_cast<double>(batch * shape.count());
  if (activations <= available_memory()) return success();
  return fail(std::errc::invalid_argument,
              "--batch {}: the activations may take {}, and {} are free: give a smaller one", batch,
              readable_bytes(activations), readable_bytes(available_memory()));
}

/// A network and a batch of random images, ready for steps.
class Training {
 public:
  static Result<Training> start(const Network& network, const StepBenchOptions& options) {
    PACELINE_TRYV(check_memory(network, options.batch));
    PACELINE_TRY(auto device, open_device("cpu", {.threads = options.threads}));
    PACELINE_TRY(auto executable, device->compile(network.program(), {.batch = options.batch}));
    Training training(network, options.batch, std::move(device), std::move(executable));
    for (std::uint64_t k = 0; k < kWarmUp; ++k) training.step();
    return training;
  }

  struct Seconds {
    double step = 0;    ///< the update's, too
    double update = 0;  ///< alone
  };
  Seconds step() {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    loss_ = executable_->train_step(x(), buffers(), view(g_), {images_, labels_}, steps_++);
    const auto middle = Clock::now();
    device_->math().update(sgd_, x(), view(m_), view(g_), {});
    const auto end = Clock::now();
    return {.step = std::chrono::duration<double>(end - start).count(),
            .update = std::chrono::duration<double>(end - middle).count()};
  }
  /// Of one step without the update.
  std::vector<OperationCost> profile() {
    return executable_->profile(x(), buffers(), view(g_), {images_, labels_}, 1);
  }

  double loss() const { return loss_; }  ///< of the last step()
  const Device& device() const { return *device_; }
  const Executable& executable() const { return *executable_; }

 private:
  Training(const Network& network, std::size_t batch, std::unique_ptr<Device> device,
           std::unique_ptr<Executable> executable)
      : device_(std::move(device)),
        executable_(std::move(executable)),
        sgd_{.learning_rate = network.learning_rate()},
        parameters_(network.layout().elements),
        all_(network.layout().all_elements()),
        m_(parameters_),
        g_(parameters_),
        images_(batch * network.image().count()),
        labels_(batch) {
    network.initialise(all_, kSeed);
    Rng rng(kSeed);
    for (float& pixel : images_) pixel = static_cast<float>(rng.normal());
    for (std::int32_t& label : labels_)
      label = static_cast<std::int32_t>(rng.below(network.classes()));
  }
  static Vector view(std::vector<float>& v) { return {v.data(), v.size()}; }
  Vector x() { return {all_.data(), parameters_}; }
  Vector buffers() { return {all_.data() + parameters_, all_.size() - parameters_}; }

  std::unique_ptr<Device> device_;
  std::unique_ptr<Executable> executable_;
  Sgd sgd_;
  std::size_t parameters_;
  std::vector<float> all_, m_, g_, images_;
  std::vector<std::int32_t> labels_;
  std::uint64_t steps_ = 0;
  double loss_ = 0;
};

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

nlohmann::json description(const Network& network, const StepBenchOptions& options,
                           const Training& training) {
  const Shape& image = network.image();
  return {{"network", network.name()},
          {"image", {image.channels, image.height, image.width}},
          {"batch", options.batch},
          {"threads", options.threads},
          {"device", training.device().description()}};
}

/// By operation: the word that a network's file has for its layer.
std::map<std::string, std::string> kinds_of(const Network& network) {
  std::map<std::string, std::string> kinds;
  for (const LayerDescription& layer : network.description().layers) {
    const std::string text = layer_text(layer);
    kinds[layer.name] = text.substr(0, text.find(' '));
  }
  return kinds;
}

/// One line, at once: another program waits for it.
Result<> answer(const nlohmann::json& json) {
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  if (std::fflush(stdout) != 0) return fail_errno(errno, "cannot write to standard output");
  return success();
}

}  // namespace

Result<nlohmann::json> bench_step(const Network& network, const StepBenchOptions& options) {
  PACELINE_TRY(Training training, Training::start(network, options));
  PACELINE_TRY(const MachineLimits limits, measure_machine_limits(options.threads));

  std::vector<OperationCost> costs = training.profile();
  std::vector<std::vector<double>> seconds(costs.size());
  std::vector<double> steps, updates;
  for (std::uint64_t k = 0; k < kSteps; ++k) {
    const Training::Seconds whole = training.step();
    steps.push_back(whole.step);
    updates.push_back(whole.update);
    const std::vector<OperationCost> profile = training.profile();
    for (std::size_t i = 0; i < costs.size(); ++i) seconds[i].push_back(profile[i].seconds);
  }
  for (std::size_t i = 0; i < costs.size(); ++i) costs[i].seconds = median(seconds[i]);
  costs.push_back({.name = "update",
                   .pass = "update",
                   .how = "nesterov",
                   .bytes = 5.0 * sizeof(float) * static_cast<double>(network.layout().elements),
                   .seconds = median(updates)});  // x and momentum both ways, the gradient once

  const double step = median(steps);
  nlohmann::json figures = description(network, options, training);
  figures.update(nlohmann::json{{"images_per_second", static_cast<double>(options.batch) / step},
                                {"milliseconds", step * 1e3},
                                {"loss", training.loss()},
                                {"activation_bytes", training.executable().activation_bytes()}});
  figures.update(roofline(costs, limits, step));
  const std::map<std::string, std::string> kinds = kinds_of(network);
  for (nlohmann::json& operation : figures.at("operations")) {
    const auto kind = kinds.find(operation.at("name").get<std::string>());
    operation["kind"] = operation.at("how") == "reorder" ? operation.at("how")
                        : kind != kinds.end()            ? nlohmann::json(kind->second)
                                                         : operation.at("pass");
  }
  return figures;
}

std::string step_table(const nlohmann::json& figures) {
  const auto& image = figures.at("image");
  return fmt::format("{}: {} images of {}x{}x{} a step; {}\n\n{}speed     {:.1f} images/s\n",
                     figures.at("network").get<std::string>(), figures.at("batch").dump(),
                     image.at(0).dump(), image.at(1).dump(), image.at(2).dump(),
                     figures.at("device").get<std::string>(), roofline_table(figures),
                     figures.at("images_per_second").get<double>());
}

Result<> bench_steps_on_request(const Network& network, const StepBenchOptions& options,
                                std::size_t steps) {
  PACELINE_TRY(Training training, Training::start(network, options));
  PACELINE_TRYV(answer(description(network, options, training)));
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<double> seconds(steps);
    for (double& s : seconds) s = training.step().step;
    PACELINE_TRYV(answer({{"seconds", seconds}}));
  }
  return success();
}

}  // namespace paceline
