#include "paceline/apps/bench_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
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

constexpr std::uint64_t kWarmUp = 3, kRounds = 20, kMostInARound = 100;
constexpr double kRoundSeconds = 0.05;
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
    if (options.device == "cpu" || options.device == "reference") {  // they compute in this memory
      PACELINE_TRYV(check_memory(network, options.batch));
    }
    PACELINE_TRY(auto device, open_device(options.device, {.threads = options.threads,
                                                           .precision = options.precision}));
    PACELINE_TRY(auto executable, device->compile(network.program(), {.batch = options.batch}));
    Training training(network, options.batch, std::move(device), std::move(executable));
    PACELINE_TRYV(training.allocate(network));
    for (std::uint64_t k = 0; k < kWarmUp; ++k) training.steps(1);
    return training;
  }

  /// Of `count` steps, from a device at rest to a device at rest.
  double steps(std::uint64_t count) {
    const auto start = Clock::now();
    for (std::uint64_t k = 0; k < count; ++k) train();
    rest();
    return seconds_since(start);
  }
  /// Of one more update. Alone, since a device may do it while the host goes on.
  double update_alone() {
    const auto start = Clock::now();
    update();
    rest();
    return seconds_since(start);
  }
  /// Of one step without the update.
  std::vector<OperationCost> profile() {
    staged_ = false;  // by whoever takes a batch of its own
    return executable_->profile(x(), buffers(), view(*g_), inputs_->batch, 1);
  }

  double loss() const { return loss_; }  ///< of the last step
  Device& device() const { return *device_; }
  const Executable& executable() const { return *executable_; }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  /// What a batch views; stays where it is.
  struct Inputs {
    std::vector<float> images, scale, shift;
    std::vector<std::uint8_t> bytes;
    std::vector<Cut> cuts;
    std::vector<std::int32_t> labels;
    RawBatch raw;
    Batch batch;
  };

  Training(const Network& network, std::size_t batch, std::unique_ptr<Device> device,
           std::unique_ptr<Executable> executable)
      : device_(std::move(device)),
        executable_(std::move(executable)),
        sgd_{.learning_rate = network.learning_rate()},
        parameters_(network.layout().elements),
        all_elements_(network.layout().all_elements()),
        inputs_(std::make_unique<Inputs>()) {
    const Shape image = network.image();
    Rng rng(kSeed);
    Inputs& in = *inputs_;
    if (executable_->takes_raw()) {
      in.bytes.resize(batch * image.count());
      for (std::uint8_t& byte : in.bytes) byte = static_cast<std::uint8_t>(rng.below(256));
      in.cuts.resize(batch);
      in.scale.assign(image.channels, 1.0F / 64);
      in.shift.assign(image.channels, -2);
      in.raw = {in.bytes, image, in.cuts, in.scale, in.shift};
    } else {
      in.images.resize(batch * image.count());
      for (float& pixel : in.images) pixel = static_cast<float>(rng.normal());
    }
    in.labels.resize(batch);
    for (std::int32_t& label : in.labels)
      label = static_cast<std::int32_t>(rng.below(network.classes()));
    in.batch = {in.images, in.labels, executable_->takes_raw() ? &in.raw : nullptr};
  }
  Result<> allocate(const Network& network) {
    const VectorMath& math = device_->math();
    PACELINE_TRY(all_, device_->allocate(math.bytes(all_elements_)));
    PACELINE_TRY(m_, device_->allocate(math.bytes(parameters_)));
    PACELINE_TRY(g_, device_->allocate(math.bytes(parameters_)));
    std::vector<float> initial(all_elements_);
    network.initialise(initial, kSeed);
    math.copy({all_->data(), all_elements_}, {initial.data(), initial.size()});
    math.fill(view(*m_), 0);
    return success();
  }

  /// A step with its update, as a worker takes it.
  void train() {
    if (executable_->has_meanwhile()) {
      const auto stage = [this] {
        executable_->stage(inputs_->batch);
        staged_ = true;
      };
      if (!staged_) stage();
      staged_ = false;
      executable_->meanwhile(stage);
    }
    if (executable_->updates()) {
      loss_ = executable_->train_and_update(sgd_, x(), view(*m_), buffers(), view(*g_),
                                            inputs_->batch, steps_++);
    } else {
      loss_ = executable_->train_step(x(), buffers(), view(*g_), inputs_->batch, steps_++);
      update();
    }
  }
  void update() { device_->math().update(sgd_, x(), view(*m_), view(*g_), {}); }
  /// A number of a few elements is known once all before it is done.
  void rest() {
    constexpr std::size_t kFew = 16;
    device_->math().finite({all_->data(), std::min(kFew, parameters_)});
  }

  Vector view(DeviceMemory& memory) const { return {memory.data(), parameters_}; }
  Vector x() const { return view(*all_); }
  Vector buffers() const {
    return {static_cast<float*>(all_->data()) + parameters_, all_elements_ - parameters_};
  }

  std::unique_ptr<Device> device_;
  std::unique_ptr<Executable> executable_;
  Sgd sgd_;
  std::size_t parameters_, all_elements_;
  std::unique_ptr<Inputs> inputs_;
  std::unique_ptr<DeviceMemory> all_, m_, g_;
  bool staged_ = false;
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
          {"device", training.device().description()},
          {"precision", name_of(options.precision)},
          {"raw", training.executable().takes_raw()},
          {"staged", training.executable().has_meanwhile()}};
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

/// What the operations' shares are, and how near they come to the limits.
nlohmann::json shares(const Network& network, std::vector<OperationCost> costs,
                      const MachineLimits& limits, double step, double update) {
  costs.push_back({.name = "update",
                   .pass = "update",
                   .how = "nesterov",
                   .bytes = 5.0 * sizeof(float) * static_cast<double>(network.layout().elements),
                   .seconds = update});  // x and momentum both ways, the gradient once
  nlohmann::json figures = roofline(costs, limits, step);
  const std::map<std::string, std::string> kinds = kinds_of(network);
  for (nlohmann::json& operation : figures.at("operations")) {
    const auto kind = kinds.find(operation.at("name").get<std::string>());
    operation["kind"] = operation.at("how") == "reorder" ? operation.at("how")
                        : kind != kinds.end()            ? nlohmann::json(kind->second)
                                                         : operation.at("pass");
  }
  return figures;
}

}  // namespace

Result<nlohmann::json> bench_step(const Network& network, const StepBenchOptions& options) {
  PACELINE_TRY(Training training, Training::start(network, options));
  const Result<MachineLimits> limits = training.device().limits();
  if (!limits && limits.error().code != std::errc::not_supported) return limits.error();

  const double first = training.steps(1);
  const auto round = static_cast<std::uint64_t>(
      std::clamp(std::ceil(kRoundSeconds / first), 1.0, double{kMostInARound}));
  std::vector<OperationCost> costs = training.profile();
  std::vector<std::vector<double>> seconds(costs.size());
  std::vector<double> steps, updates;
  for (std::uint64_t k = 0; k < kRounds; ++k) {
    steps.push_back(training.steps(round) / static_cast<double>(round));
    updates.push_back(training.update_alone());
    if (costs.empty()) continue;
    const std::vector<OperationCost> profile = training.profile();
    for (std::size_t i = 0; i < costs.size(); ++i) seconds[i].push_back(profile[i].seconds);
  }
  for (std::size_t i = 0; i < costs.size(); ++i) costs[i].seconds = median(seconds[i]);

  const double step = median(steps), update = median(updates);
  nlohmann::json figures = description(network, options, training);
  figures.update(nlohmann::json{{"images_per_second", static_cast<double>(options.batch) / step},
                                {"milliseconds", step * 1e3},
                                {"update_milliseconds", update * 1e3},
                                {"loss", training.loss()},
                                {"activation_bytes", training.executable().activation_bytes()}});
  if (limits && !costs.empty())
    figures.update(shares(network, std::move(costs), limits.value(), step, update));
  return figures;
}

std::string step_table(const nlohmann::json& figures) {
  const auto& image = figures.at("image");
  const auto milliseconds = [&](const char* key) { return figures.at(key).get<double>(); };
  const std::string steps =
      figures.contains("operations")
          ? roofline_table(figures)
          : fmt::format("step      {:.3f} ms, of which the update {:.3f} ms\n",
                        milliseconds("milliseconds"), milliseconds("update_milliseconds"));
  return fmt::format("{}: {} images of {}x{}x{} a step; {}; {}\n\n{}speed     {:.1f} images/s\n",
                     figures.at("network").get<std::string>(), figures.at("batch").dump(),
                     image.at(0).dump(), image.at(1).dump(), image.at(2).dump(),
                     figures.at("device").get<std::string>(),
                     figures.at("precision").get<std::string>(), steps,
                     figures.at("images_per_second").get<double>());
}

Result<> bench_steps_on_request(const Network& network, const StepBenchOptions& options,
                                std::size_t steps) {
  PACELINE_TRY(Training training, Training::start(network, options));
  PACELINE_TRYV(answer(description(network, options, training)));
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<double> seconds(steps);
    for (double& s : seconds) s = training.steps(1);
    PACELINE_TRYV(answer({{"seconds", seconds}}));
  }
  return success();
}

}  // namespace paceline
