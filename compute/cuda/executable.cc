#include "paceline/compute/cuda/executable_internal.h"

#include <algorithm>

#include "paceline/compute/batch_check_internal.h"
#include "paceline/compute/cuda/captured_steps_internal.h"
#include "paceline/compute/cuda/input_staging_internal.h"
#include "paceline/compute/cuda/range_internal.h"
#include "paceline/compute/cuda/resources_internal.h"
#include "paceline/compute/cuda/update_sections_internal.h"

namespace paceline::cuda {
namespace {

bool on_device(const void* memory) {
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess) {
    cudaGetLastError();  // host memory that CUDA has not heard of, to older drivers an error
    return false;
  }
  return attributes.type == cudaMemoryTypeDevice;
}

/// A flat vector of a call: itself where it lies on a GPU, else a copy that lives from call to call.
class Visitor {
 public:
  /// @return the vector's address on the GPU
  float* bring(ConstVector vector, cudaStream_t stream, Twins& twins) {
    if (vector.count == 0) return nullptr;
    if (vector.data != known_) {
      known_ = vector.data;
      resident_ = on_device(vector.data);
    }
    if (resident_) return static_cast<float*>(const_cast<void*>(vector.data));
    if (count_ < vector.count) {
      twins.forget(copy_.get());
      copy_ = device_memory<float>(count_ = vector.count);
    }
    check(cudaMemcpyAsync(copy_.get(), vector.data, vector.count * sizeof(float), cudaMemcpyDefault,
                          stream),
          "cudaMemcpyAsync of a vector");
    return copy_.get();
  }
  /// After the call: what it has written goes where it came from. Ends when it is there.
  void take_back(Vector vector, cudaStream_t stream) {
    if (resident_ || vector.count == 0) return;
    check(cudaMemcpyAsync(vector.data, copy_.get(), vector.count * sizeof(float), cudaMemcpyDefault,
                          stream),
          "cudaMemcpyAsync of a vector");
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  }
  bool resident() const { return resident_; }
  const float* copy() const { return copy_.get(); }

 private:
  const void* known_ = nullptr;
  bool resident_ = true;
  DevicePointer<float> copy_;
  std::size_t count_ = 0;
};

class CudaExecutable final : public Executable {
 public:
  CudaExecutable(const Program& program, const CompileOptions& options, Precision precision,
                 std::unique_ptr<Plan> plan, std::unique_ptr<ConvolutionPlanner> planner,
                 Twins& twins)
      : program_(program),
        options_(options),
        precision_(precision),
        classes_(program.activations[program.operations.back().input].count()),
        twins_(twins),
        planner_(std::move(planner)),
        plan_(std::move(plan)),
        block_(device_memory<std::byte>(plan_->placement.bytes)),
        logits_(device_memory<float>(options.batch * classes_)),
        numbers_(device_memory<StepNumbers>(1)),
        sums_(device_memory<LossSums>(1)),
        host_(pinned_memory<Host>(1)),
        host_logits_(options.batch * classes_),
        input_(program.activations[0], options.batch),
        test_input_(program.activations[0], options.batch) {
    host_->numbers = {0, StepConstants(Sgd{})};
  }

  ~CudaExecutable() override {
    cudaStreamSynchronize(kStream);
    for (const Visitor* visitor : {&x_, &g_}) twins_.forget(visitor->copy());
  }

  double train_step(ConstVector x, Vector buffers, Vector g, const Batch& batch,
                    std::uint64_t seed) override {
    const Range range("step");
    PACELINE_CHECK(options_.training, "compiled for evaluation only");
    PACELINE_CHECK(g.count >= program_.parameter_elements, "a gradient of {} elements", g.count);
    run_step(bind_step(x, buffers, g, batch, seed), {});
    if (const auto work = std::exchange(meanwhile_, nullptr)) work();
    finish_step(buffers, g);
    return host_->sums.loss / static_cast<double>(options_.batch);
  }
  bool updates() const override { return true; }
  double train_and_update(const Sgd& sgd, Vector x, Vector momentum, Vector buffers, Vector g,
                          const Batch& batch, std::uint64_t seed) override {
    const Range range("step and update");
    PACELINE_CHECK(options_.training, "compiled for evaluation only");
    for (const std::size_t count : {x.count, g.count})
      PACELINE_CHECK(count == program_.parameter_elements, "an update of {} elements", count);
    const bool keeps_momentum = sgd.form != Momentum::none;
    PACELINE_CHECK(!keeps_momentum || momentum.count == x.count, "a momentum of {} elements",
                   momentum.count);
    host_->numbers.constants = StepConstants(sgd);
    // A vector that was a gradient has a newer side than the one that is changed here.
    twins_.refresh_f32(kStream, x.data);
    if (keeps_momentum) twins_.refresh_f32(kStream, momentum.data);
    const Bound bound = bind_step(x, buffers, g, batch, seed);
    run_step(bound, {.x = const_cast<float*>(bound.x),
                     .momentum = keeps_momentum ? m_.bring(momentum, kStream, twins_) : nullptr,
                     .form = sgd.form,
                     .undecayed = sgd.undecayed});
    updated(x, momentum, bound);
    if (const auto work = std::exchange(meanwhile_, nullptr)) work();
    finish_step(buffers, g);
    x_.take_back(x, kStream);
    if (keeps_momentum) m_.take_back(momentum, kStream);
    return host_->sums.loss / static_cast<double>(options_.batch);
  }
  bool takes_raw() const override { return true; }
  bool has_meanwhile() const override { return true; }
  void meanwhile(std::function<void()> work) override { meanwhile_ = std::move(work); }
  void stage(const Batch& batch) override { input_.stage(batch); }

  Evaluation evaluate(ConstVector x, ConstVector buffers, const Batch& batch) override {
    const Range range("evaluate");
    PACELINE_CHECK(!batch.labels.empty() && batch.labels.size() <= options_.batch,
                   "{} images, compiled for {}", batch.labels.size(), options_.batch);
    const Bound bound = bind_forward(x, buffers, batch);
    for (const PlannedStep& step : plan_->forward) step.run(bound);
    plan_->test_loss.run(bound);
    bring_sums(kStream);
    wait();
    return {.loss_sum = host_->sums.loss, .errors = host_->sums.errors, .images = images_};
  }

  void estimate_buffers(ConstVector x, Vector buffers, const Batch& batch, double share) override {
    PACELINE_CHECK(batch.labels.size() == options_.batch, "{} images, compiled for {}",
                   batch.labels.size(), options_.batch);
    Bound bound = bind_forward(x, buffers, batch);
    bound.batch_statistics = true;
    bound.share = share;
    for (const PlannedStep& step : plan_->forward) step.run(bound);
    buffers_.take_back(buffers, kStream);
    wait();
  }

  std::span<const float> logits() override {
    check(cudaMemcpyAsync(host_logits_.data(), logits_.get(), images_ * classes_ * sizeof(float),
                          cudaMemcpyDefault, kStream),
          "cudaMemcpyAsync of logits");
    wait();
    return std::span(host_logits_).first(images_ * classes_);
  }
  std::size_t activation_bytes() const override { return plan_->placement.bytes; }
  std::size_t unshared_activation_bytes() const override { return plan_->unshared_bytes; }

  std::vector<OperationCost> profile(ConstVector x, Vector buffers, Vector g, const Batch& batch,
                                     std::size_t steps) override;

 private:
  /// What a captured step reads anew each time.
  struct StepNumbers {
    std::uint64_t seed;
    StepConstants constants;  ///< of the update, if there is one
  };
  /// What travels between host and GPU in every step.
  struct Host {
    StepNumbers numbers;
    LossSums sums;
  };
  static inline const cudaStream_t kStream = cudaStreamPerThread;

  void wait() const { check(cudaStreamSynchronize(kStream), "a step on the GPU"); }
  void bring_sums(cudaStream_t stream) {
    check(cudaMemcpyAsync(&host_->sums, sums_.get(), sizeof(LossSums), cudaMemcpyDeviceToHost,
                          stream),
          "cudaMemcpyAsync of the loss");
  }
  Bound bind(ConstVector x, ConstVector buffers, const Batch& batch, InputStaging& input) {
    check_batch(program_, x, buffers, batch);
    images_ = batch.labels.size();
    if (!input.staged()) input.stage(batch);
    const StagedBatch& staged = input.take(kStream);
    PACELINE_CHECK(staged.count == images_, "{} images were staged, {} are asked for", staged.count,
                   images_);
    float* const parameters = x_.bring(x, kStream, twins_);
    if (!x_.resident()) twins_.written(parameters);
    Bound bound{.stream = kStream,
                .block = block_.get(),
                .x = parameters,
                .weights = parameters,
                .buffers = buffers_.bring(buffers, kStream, twins_),
                .images = staged.images,
                .cuts = staged.cuts,
                .scale = staged.scale,
                .shift = staged.shift,
                .labels = staged.labels,
                .seed = &numbers_->seed,
                .count = images_,
                .logits = logits_.get(),
                .sums = sums_.get(),
                .stored = staged.stored};
    if (precision_ == Precision::bf16) {
      Twin& twin = twins_.of(parameters, program_.parameter_elements);
      twins_.refresh_bf16(kStream, twin);
      bound.weights = twin.bf16;
    }
    return bound;
  }
  Bound bind_forward(ConstVector x, ConstVector buffers, const Batch& batch) {
    return bind(x, buffers, batch, test_input_);
  }
  Bound bind_step(ConstVector x, Vector buffers, Vector g, const Batch& batch, std::uint64_t seed) {
    PACELINE_CHECK(batch.labels.size() == options_.batch, "{} images, compiled for {}",
                   batch.labels.size(), options_.batch);
    Bound bound = bind(x, buffers, batch, input_);
    bound.batch_statistics = bound.dropout = true;
    host_->numbers.seed = seed;  // the last step, which read it, has ended (CX-3)
    check(cudaMemcpyAsync(numbers_.get(), &host_->numbers, sizeof(StepNumbers),
                          cudaMemcpyHostToDevice, kStream),
          "cudaMemcpyAsync of a step's numbers");
    float* const gradient = g_.bring(g, kStream, twins_);
    bound.g = gradient;
    if (precision_ == Precision::bf16) {
      Twin& twin = twins_.of(gradient, program_.parameter_elements);
      twin.bf16_fresh = true;
      twin.f32_fresh = false;
      bound.g = twin.bf16;
    }
    return bound;
  }
  void enqueue_step(const Bound& bound, const StepUpdate& update) {
    for (const PlannedStep& step : plan_->forward) step.run(bound);
    plan_->loss.run(bound);
    for (const PlannedStep& step : plan_->backward) step.run(bound);
    zero_gaps(bound);
    if (update.x != nullptr) {
      if (precision_ == Precision::bf16)
        enqueue_update<Bf16>(bound, update);
      else
        enqueue_update<float>(bound, update);
    }
    bring_sums(bound.stream);
  }
  template <class G>
  void enqueue_update(const Bound& bound, const StepUpdate& update) {
    UpdateElement<G> element{.form = update.form, .constants = StepConstants(Sgd{})};
    element.live = &numbers_->constants;
    element.x = update.x;
    element.m = update.momentum;
    element.g = static_cast<const G*>(bound.g);
    if (precision_ == Precision::bf16)
      element.x16 = static_cast<Bf16*>(const_cast<void*>(bound.weights));
    launch_sections(bound.stream, element, update.undecayed, program_.parameter_elements);
  }
  /// The twins hear of what an update has written: x on both sides.
  void updated(Vector x, Vector momentum, const Bound& bound) {
    if (momentum.count > 0) twins_.written(momentum.data);
    twins_.written(x.data);
    if (precision_ != Precision::bf16) return;
    Twin& twin = *twins_.find(bound.x);
    twin.f32_fresh = twin.bf16_fresh = true;
  }
  /// A twin's padding has been zero from the first; an f32 gradient's may be anybody's.
  void zero_gaps(const Bound& bound) {
    if (precision_ == Precision::bf16) return;
    for (const Gap& gap : plan_->gaps)
      check(cudaMemsetAsync(static_cast<float*>(bound.g) + gap.first, 0,
                            (gap.last - gap.first) * sizeof(float), bound.stream),
            "cudaMemsetAsync");
  }
  void run_step(const Bound& bound, const StepUpdate& update) {
    std::unique_ptr<Graph>* const known =
        graphs_.find({bound.x, bound.weights, bound.g, bound.buffers, bound.images, bound.cuts,
                      bound.labels, bound.scale, bound.shift, bound.stored, update});
    if (known == nullptr) return enqueue_step(bound, update);
    if (*known == nullptr)
      *known = std::make_unique<Graph>(Graph::capture(capture_.get(), [&](cudaStream_t stream) {
        Bound captured = bound;
        captured.stream = stream;
        enqueue_step(captured, update);
      }));
    (*known)->launch(kStream);
  }
  void finish_step(Vector buffers, Vector g) {
    if (!g_.resident() && precision_ == Precision::bf16) twins_.refresh_f32(kStream, g_.copy());
    wait();
    g_.take_back(g, kStream);
    buffers_.take_back(buffers, kStream);
  }

  const Program program_;
  const CompileOptions options_;
  const Precision precision_;
  const std::size_t classes_;
  Twins& twins_;
  Stream capture_;  // outlives the handle that was last set to it
  const std::unique_ptr<ConvolutionPlanner> planner_;
  const std::unique_ptr<Plan> plan_;
  const DevicePointer<std::byte> block_;
  const DevicePointer<float> logits_;
  const DevicePointer<StepNumbers> numbers_;
  const DevicePointer<LossSums> sums_;
  const PinnedPointer<Host> host_;
  std::vector<float> host_logits_;
  InputStaging input_, test_input_;
  Visitor x_, buffers_, g_, m_;
  CapturedSteps<std::unique_ptr<Graph>> graphs_;  ///< null: run once as it is
  std::function<void()> meanwhile_;
  std::size_t images_ = 0;  // of the last batch
};

/// Each step by itself, with an event before and after it; never as a graph.
std::vector<OperationCost> CudaExecutable::profile(ConstVector x, Vector buffers, Vector g,
                                                   const Batch& batch, std::size_t steps) {
  PACELINE_CHECK(options_.training, "compiled for evaluation only");
  PACELINE_CHECK(g.count >= program_.parameter_elements, "a gradient of {} elements", g.count);
  std::vector<const PlannedStep*> all;
  for (const PlannedStep& step : plan_->forward) all.push_back(&step);
  all.push_back(&plan_->loss);
  for (const PlannedStep& step : plan_->backward) all.push_back(&step);
  std::vector<Event> events;
  for (std::size_t i = 0; i <= all.size(); ++i) events.emplace_back(true);
  std::vector<std::vector<double>> seconds(all.size());
  for (std::size_t n = 0; n < steps; ++n) {
    const Bound bound = bind_step(x, buffers, g, batch, n);
    check(cudaEventRecord(events[0].get(), kStream), "cudaEventRecord");
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i]->run(bound);
      check(cudaEventRecord(events[i + 1].get(), kStream), "cudaEventRecord");
    }
    zero_gaps(bound);
    finish_step(buffers, g);
    for (std::size_t i = 0; i < all.size(); ++i) {
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, events[i].get(), events[i + 1].get()),
            "cudaEventElapsedTime");
      seconds[i].push_back(1e-3 * milliseconds);
    }
  }
  std::vector<OperationCost> costs;
  for (std::size_t i = 0; i < all.size(); ++i) {
    costs.push_back(all[i]->cost);
    if (steps == 0) continue;
    std::ranges::nth_element(seconds[i],
                             seconds[i].begin() + static_cast<std::ptrdiff_t>(steps / 2));
    costs.back().seconds = seconds[i][steps / 2];
  }
  return costs;
}

}  // namespace

std::unique_ptr<Executable> make_executable(const Program& program, const CompileOptions& options,
                                            Precision precision, std::unique_ptr<Plan> plan,
                                            std::unique_ptr<ConvolutionPlanner> planner,
                                            Twins& twins) {
  return std::make_unique<CudaExecutable>(program, options, precision, std::move(plan),
                                          std::move(planner), twins);
}

}  // namespace paceline::cuda
