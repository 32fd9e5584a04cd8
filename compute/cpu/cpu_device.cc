#include "paceline/compute/cpu/cpu_device_internal.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <fstream>

#include "paceline/compute/batch_check_internal.h"
#include "paceline/compute/cpu/plan_internal.h"
#include "paceline/compute/cpu/winograd_internal.h"
#include "paceline/compute/host_memory_internal.h"

namespace paceline {
namespace {

/// libgomp's thread count belongs to the calling thread; primitives must be made and run under one.
void use_threads(unsigned threads) {
  if (omp_get_max_threads() != static_cast<int>(threads))
    omp_set_num_threads(static_cast<int>(threads));
}

class CpuExecutable final : public Executable {
 public:
  CpuExecutable(const Program& program, const CompileOptions& options, unsigned threads,
                const dnnl::engine& engine, std::unique_ptr<Plan> plan)
      : program_(program),
        options_(options),
        threads_(threads),
        stream_(engine),
        plan_(std::move(plan)),
        classes_(program.activations[program.operations.back().input].channels),
        label_smoothing_(
            std::get<SoftmaxCrossEntropy>(program.operations.back().kind).label_smoothing) {}

  double train_step(ConstVector x, Vector buffers, Vector g, const Batch& batch,
                    std::uint64_t seed) override {
    return train(x, buffers, g, batch, seed, [](std::size_t, const auto& run) { run(); });
  }

  Evaluation evaluate(ConstVector x, ConstVector buffers, const Batch& batch) override {
    PACELINE_CHECK(!batch.labels.empty() && batch.labels.size() <= options_.batch,
                   "{} images, compiled for {}", batch.labels.size(), options_.batch);
    const Pass pass = bind(x, buffers, batch);
    for (const PlannedStep& planned : plan_->forward) planned.step->run(pass);
    return softmax_cross_entropy(logits(), classes_, batch.labels, 0, {});
  }

  void estimate_buffers(ConstVector x, Vector buffers, const Batch& batch, double share) override {
    PACELINE_CHECK(batch.labels.size() == options_.batch, "{} images, compiled for {}",
                   batch.labels.size(), options_.batch);
    Pass pass = bind(x, buffers, batch);
    pass.batch_statistics = true;
    pass.share = share;
    for (const PlannedStep& planned : plan_->forward) planned.step->run(pass);
  }

  std::vector<OperationCost> profile(ConstVector x, Vector buffers, Vector g, const Batch& batch,
                                     std::size_t steps) override {
    std::vector<std::vector<double>> seconds(plan_->forward.size() + 1 + plan_->backward.size());
    for (std::size_t step = 0; step < steps; ++step)
      train(x, buffers, g, batch, step, [&](std::size_t k, const auto& run) {
        const auto start = std::chrono::steady_clock::now();
        run();
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
        seconds[k].push_back(elapsed.count());
      });
    std::vector<OperationCost> costs;
    for (const PlannedStep& planned : plan_->forward) costs.push_back(planned.cost);
    costs.push_back({.name = program_.operations.back().name,
                     .pass = "loss",
                     .how = "softmax, cross entropy and gradient",
                     .bytes = 2.0 * static_cast<double>(plan_->logits.get_desc().get_size())});
    for (const PlannedStep& planned : plan_->backward) costs.push_back(planned.cost);
    for (std::size_t k = 0; k < costs.size() && steps > 0; ++k) {
      std::ranges::nth_element(seconds[k],
                               seconds[k].begin() + static_cast<std::ptrdiff_t>(steps / 2));
      costs[k].seconds = seconds[k][steps / 2];
    }
    return costs;
  }

  std::span<const float> logits() override { return values(plan_->logits, images_ * classes_); }
  std::size_t activation_bytes() const override { return plan_->arena.bytes(); }
  std::size_t unshared_activation_bytes() const override {
    std::size_t elements = 0;
    for (const Shape& shape : program_.activations) elements += shape.count();
    return options_.batch * elements * sizeof(float) * (options_.training ? 2 : 1);
  }

 private:
  static std::span<float> values(const dnnl::memory& memory, std::size_t count) {
    return {static_cast<float*>(memory.get_data_handle()), count};
  }
  /// Points the plan at this call's vectors and images.
  Pass bind(ConstVector x, ConstVector buffers, const Batch& batch) {
    check_batch(program_, x, buffers, batch);
    use_threads(threads_);
    images_ = batch.labels.size();
    plan_->images.set_data_handle(full_batch(batch));
    float* const parameters = static_cast<float*>(const_cast<void*>(x.data));  // only read
    for (FlatTensor& tensor : plan_->parameters)
      tensor.memory.set_data_handle(parameters + tensor.offset);
    return {.stream = stream_.get(),
            .x = parameters,
            .buffers = static_cast<float*>(const_cast<void*>(buffers.data))};
  }
  /// @param around  called with each step's number and how to run it
  template <class Around>
  double train(ConstVector x, Vector buffers, Vector g, const Batch& batch, std::uint64_t seed,
               const Around& around) {
    PACELINE_CHECK(options_.training, "compiled for evaluation only");
    PACELINE_CHECK(batch.labels.size() == options_.batch, "{} images, compiled for {}",
                   batch.labels.size(), options_.batch);
    PACELINE_CHECK(g.count >= program_.parameter_elements, "a gradient of {} elements", g.count);
    Pass pass = bind(x, buffers, batch);
    pass.seed = seed;
    pass.dropout = pass.batch_statistics = true;
    pass.g = static_cast<float*>(g.data);
    for (FlatTensor& tensor : plan_->gradients)
      tensor.memory.set_data_handle(pass.g + tensor.offset);
    std::size_t k = 0;
    for (const PlannedStep& planned : plan_->forward) around(k++, [&] { planned.step->run(pass); });
    Evaluation sum;
    around(k++, [&] {
      sum = softmax_cross_entropy(logits(), classes_, batch.labels, label_smoothing_,
                                  values(plan_->dlogits, options_.batch * classes_));
    });
    for (const PlannedStep& planned : plan_->backward)
      around(k++, [&] { planned.step->run(pass); });
    for (const Gap& gap : plan_->gaps) std::fill(pass.g + gap.first, pass.g + gap.last, 0.0f);
    return sum.loss_sum / static_cast<double>(sum.images);
  }
  /// The images as they are, or filled up with zeros to the batch that was compiled.
  float* full_batch(const Batch& batch) {
    if (batch.labels.size() == options_.batch) return const_cast<float*>(batch.images.data());
    const std::span<float> staging =
        values(plan_->staging, options_.batch * program_.activations[0].count());
    std::fill(std::copy(batch.images.begin(), batch.images.end(), staging.begin()), staging.end(),
              0.0f);
    return staging.data();
  }

  const Program program_;
  const CompileOptions options_;
  const unsigned threads_;
  dnnl::stream stream_;
  std::unique_ptr<Plan> plan_;
  const std::size_t classes_;
  const double label_smoothing_;
  std::size_t images_ = 0;  // of the last batch
};

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

const char* instruction_set() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx512_core_amx:
    case dnnl::cpu_isa::avx512_core_bf16:
    case dnnl::cpu_isa::avx512_core_vnni:
    case dnnl::cpu_isa::avx512_core:
      return "AVX-512";
    case dnnl::cpu_isa::avx2_vnni:
    case dnnl::cpu_isa::avx2:
      return "AVX2";
    default:
      return "no AVX2";
  }
}

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(const DeviceOptions& options)
      : options_(options),
        engine_(dnnl::engine::kind::cpu, 0),
        choice_(ConvolutionChoice::default_file(),
                fmt::format("{}, winograd {}", description(), kWinogradVersion)) {}

  std::string description() const override {
    const dnnl_version_t& version = *dnnl_version();
    return fmt::format("CPU: {}, {}, oneDNN {}.{}.{}, {} thread{}", processor_name(),
                       instruction_set(), version.major, version.minor, version.patch,
                       options_.threads, options_.threads == 1 ? "" : "s");
  }
  Result<MachineLimits> limits() override { return measure_machine_limits(options_.threads); }
  const VectorMath& math() const override { return vector_math_f32(); }
  Result<std::unique_ptr<DeviceMemory>> allocate(std::size_t bytes) override {
    return allocate_host_memory(bytes);
  }
  Result<std::unique_ptr<Executable>> compile(const Program& program,
                                              const CompileOptions& options) override {
    PACELINE_TRYV(check_compilable(program, options));
    use_threads(options_.threads);
    PACELINE_TRY(std::unique_ptr<Plan> plan,
                 make_plan(program, options, engine_, choice_, options_.convolution));
    try {
      return std::make_unique<CpuExecutable>(program, options, options_.threads, engine_,
                                             std::move(plan));
    } catch (const std::exception& error) {  // memory, or oneDNN's own
      return fail(std::errc::not_enough_memory,
                  "the network cannot be made ready for batches of {}: {}", options.batch,
                  error.what());
    }
  }

 private:
  const DeviceOptions options_;
  const dnnl::engine engine_;
  ConvolutionChoice choice_;
};

}  // namespace

std::unique_ptr<Device> make_cpu_device(const DeviceOptions& options) {
  return std::make_unique<CpuDevice>(options);
}

}  // namespace paceline
