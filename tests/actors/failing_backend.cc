// A backend's shared object whose device is the CPU's until it fails as it is told to:
// FAILING_STEPS="20:throw 45:memory" are the training steps, counted over all executables of a
// device, that end badly: "throw", "memory" (both are exceptions), "loss" (not finite, and so are the
// running statistics), "gradient" (not finite, though its loss is). "0:throw": all of them.
// "stall" is a step that takes FAILING_STALL seconds more.
// FAILING_UPDATES="take" makes its executables take the optimiser's step along, "throw" makes them throw then.
// FAILING_BUILDS="5 6" are the compilations for training that fail, STALLED_BUILDS those that stall.
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "paceline/compute/device.h"

namespace paceline {
namespace {

struct Plan {
  std::map<std::uint64_t, std::string> steps;
  std::set<std::uint64_t> builds, stalled;
  double stall = 0;  // seconds
  std::string updates;
  std::atomic<std::uint64_t> taken{0}, built{0};

  Plan() {
    const auto text = [](const char* name) {
      const char* value = std::getenv(name);  // NOLINT: before any thread
      return std::istringstream(value ? value : "");
    };
    std::istringstream failures = text("FAILING_STEPS"), failed = text("FAILING_BUILDS"),
                       slow = text("STALLED_BUILDS"), seconds = text("FAILING_STALL");
    char colon = 0;
    std::uint64_t n = 0;
    for (std::string how; failures >> n >> colon >> how;) steps[n] = how;
    while (failed >> n) builds.insert(n);
    while (slow >> n) stalled.insert(n);
    seconds >> stall;
    text("FAILING_UPDATES") >> updates;
  }
  void sleep() const { std::this_thread::sleep_for(std::chrono::duration<double>(stall)); }
  std::string next() {
    const std::uint64_t n = ++taken;
    if (const auto it = steps.find(n); it != steps.end()) return it->second;
    const auto always = steps.find(0);
    return always == steps.end() ? "" : always->second;
  }
};

class FailingExecutable final : public Executable {
 public:
  FailingExecutable(std::unique_ptr<Executable> real, const VectorMath& math,
                    std::shared_ptr<Plan> plan)
      : real_(std::move(real)), math_(math), plan_(std::move(plan)) {}
  double train_step(ConstVector x, Vector buffers, Vector g, const Batch& batch,
                    std::uint64_t seed) override {
    const std::string how = plan_->next();
    if (how == "throw") throw std::runtime_error("the device is lost");
    if (how == "memory") throw std::bad_alloc();
    if (how == "stall") plan_->sleep();
    const double loss = real_->train_step(x, buffers, g, batch, seed);
    if (how == "gradient" || how == "loss") math_.fill(g, NAN);
    if (how != "loss") return loss;
    if (buffers.count > 0) math_.fill(buffers, NAN);
    return NAN;
  }
  bool updates() const override { return !plan_->updates.empty(); }
  double train_and_update(const Sgd& sgd, Vector x, Vector momentum, Vector buffers, Vector g,
                          const Batch& batch, std::uint64_t seed) override {
    if (plan_->updates == "throw") throw std::runtime_error("an update in the step");
    const double loss = train_step(x, buffers, g, batch, seed);
    math_.update(sgd, x, momentum, g, {});
    return loss;
  }
  Evaluation evaluate(ConstVector x, ConstVector buffers, const Batch& batch) override {
    return real_->evaluate(x, buffers, batch);
  }
  void estimate_buffers(ConstVector x, Vector buffers, const Batch& batch, double share) override {
    real_->estimate_buffers(x, buffers, batch, share);
  }
  std::span<const float> logits() override { return real_->logits(); }
  std::size_t activation_bytes() const override { return real_->activation_bytes(); }

 private:
  const std::unique_ptr<Executable> real_;
  const VectorMath& math_;
  const std::shared_ptr<Plan> plan_;
};

class FailingDevice final : public Device {
 public:
  explicit FailingDevice(std::unique_ptr<Device> real) : real_(std::move(real)) {}
  std::string description() const override { return "fails as told: " + real_->description(); }
  const VectorMath& math() const override { return real_->math(); }
  Result<std::unique_ptr<DeviceMemory>> allocate(std::size_t bytes) override {
    return real_->allocate(bytes);
  }
  Result<std::unique_ptr<Executable>> compile(const Program& program,
                                              const CompileOptions& options) override {
    const std::uint64_t build = options.training ? ++plan_->built : 0;
    if (plan_->stalled.contains(build)) plan_->sleep();
    if (plan_->builds.contains(build))
      return fail(std::errc::not_enough_memory, "no room on the device");
    PACELINE_TRY(auto real, real_->compile(program, options));
    return std::unique_ptr<Executable>(
        std::make_unique<FailingExecutable>(std::move(real), math(), plan_));
  }

 private:
  const std::unique_ptr<Device> real_;
  const std::shared_ptr<Plan> plan_ = std::make_shared<Plan>();
};

}  // namespace
}  // namespace paceline

extern "C" paceline::Device* paceline_open_device(const paceline::DeviceOptions* options,
                                                  std::string* error) {
  auto device = paceline::open_device("cpu", *options);
  if (device) return new paceline::FailingDevice(std::move(device).value());  // open_device()'s
  *error = device.error().message;
  return nullptr;
}
