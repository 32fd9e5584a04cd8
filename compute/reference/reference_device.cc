#include <algorithm>
#include <exception>
#include <vector>

#include "paceline/compute/batch_check_internal.h"
#include "paceline/compute/cut_images_internal.h"
#include "paceline/compute/host_memory_internal.h"
#include "paceline/compute/reference/operations_internal.h"
#include "paceline/compute/reference/reference_device_internal.h"

namespace paceline {
namespace {

/// How a pass over the network treats the operations that training changes.
struct Pass {
  bool batch_statistics = false, drops = false;
  std::uint64_t seed = 0;
};

class ReferenceExecutable final : public Executable {
 public:
  ReferenceExecutable(const Program& program, const CompileOptions& options)
      : program_(program), options_(options), gradient_(program.parameter_elements) {
    for (const Shape& shape : program.activations) {
      values_.emplace_back(options.batch * shape.count());
      gradients_.emplace_back(options.training ? options.batch * shape.count() : 0);
    }
    logits_.resize(options.batch * classes());
    cut_.resize(options.batch * program.activations[0].count());
  }
  bool takes_raw() const override { return true; }

  double train_step(ConstVector x, Vector buffers, Vector g, const Batch& batch,
                    std::uint64_t seed) override {
    PACELINE_CHECK(options_.training, "compiled for evaluation only");
    check_full(batch);
    PACELINE_CHECK(g.count >= gradient_.size(), "a gradient of {} elements", g.count);
    const Pass pass{.batch_statistics = true, .drops = true, .seed = seed};
    forward(x, buffers, batch, pass);
    for (std::size_t k = 0; k < program_.operations.size(); ++k)
      if (const auto* norm = std::get_if<BatchNorm>(&program_.operations[k].kind))
        move_running_statistics(k, x, buffers, norm->momentum);
    for (std::vector<double>& gradient : gradients_) std::fill(gradient.begin(), gradient.end(), 0);
    std::fill(gradient_.begin(), gradient_.end(), 0);
    const std::size_t logits = program_.operations.back().input;
    const Evaluation sum = reference::softmax_cross_entropy(
        values_[logits], classes(), batch.labels,
        std::get<SoftmaxCrossEntropy>(program_.operations.back().kind).label_smoothing,
        gradients_[logits].data());
    for (std::size_t k = program_.operations.size() - 1; k-- > 0;) {
      const Operation& op = program_.operations[k];
      reference::backward(op.kind, call(k, x, buffers, options_.batch, pass),
                          gradients_[op.output].data(),
                          {.x = gradients_[op.input].data(),
                           .other = gradients_[op.other].data(),
                           .weight = gradient_.data() + op.weight,
                           .bias = gradient_.data() + op.bias});
    }
    std::copy(gradient_.begin(), gradient_.end(), static_cast<float*>(g.data));
    return sum.loss_sum / static_cast<double>(sum.images);
  }

  Evaluation evaluate(ConstVector x, ConstVector buffers, const Batch& batch) override {
    PACELINE_CHECK(!batch.labels.empty() && batch.labels.size() <= options_.batch,
                   "{} images, compiled for {}", batch.labels.size(), options_.batch);
    forward(x, buffers, batch, {});
    return reference::softmax_cross_entropy(values_[program_.operations.back().input], classes(),
                                            batch.labels, 0, nullptr);
  }

  void estimate_buffers(ConstVector x, Vector buffers, const Batch& batch, double share) override {
    check_full(batch);
    forward(x, buffers, batch, {.batch_statistics = true});
    for (std::size_t k = 0; k < program_.operations.size(); ++k)
      if (std::holds_alternative<BatchNorm>(program_.operations[k].kind))
        move_running_statistics(k, x, buffers, share);
  }

  std::span<const float> logits() override { return std::span(logits_).first(valid_logits_); }
  std::size_t activation_bytes() const override {
    std::size_t elements = 0;
    for (const auto& value : values_) elements += value.size();
    for (const auto& gradient : gradients_) elements += gradient.size();
    return elements * sizeof(double);
  }

 private:
  std::size_t classes() const {
    return program_.activations[program_.operations.back().input].channels;
  }
  void check_full(const Batch& batch) const {
    PACELINE_CHECK(batch.labels.size() == options_.batch, "{} images, compiled for {}",
                   batch.labels.size(), options_.batch);
  }
  reference::Call call(std::size_t k, ConstVector x, ConstVector buffers, std::size_t images,
                       const Pass& pass) const {
    const Operation& op = program_.operations[k];
    const float* const parameters = static_cast<const float*>(x.data);
    const float* const running = static_cast<const float*>(buffers.data);
    return {.images = images,
            .in = program_.activations[op.input],
            .out = program_.activations[op.output],
            .x = values_[op.input].data(),
            .other = values_[op.other].data(),
            .weight = parameters + op.weight,
            .bias = parameters + op.bias,
            .running_mean = running + op.running_mean,
            .running_variance = running + op.running_variance,
            .batch_statistics = pass.batch_statistics,
            .drops = pass.drops,
            .seed = pass.seed,
            .operation = k};
  }
  void forward(ConstVector x, ConstVector buffers, const Batch& batch, const Pass& pass) {
    check_batch(program_, x, buffers, batch);
    std::span<const float> images = batch.images;
    if (batch.raw != nullptr) {
      const Shape image = program_.activations[0];
      const std::span<float> cut = std::span(cut_).first(batch.labels.size() * image.count());
      cut_images(*batch.raw, image, cut);
      images = cut;
    }
    std::copy(images.begin(), images.end(), values_[0].begin());
    for (std::size_t k = 0; k + 1 < program_.operations.size(); ++k) {
      const Operation& op = program_.operations[k];
      reference::forward(op.kind, call(k, x, buffers, batch.labels.size(), pass),
                         values_[op.output].data());
    }
    valid_logits_ = batch.labels.size() * classes();
    const std::vector<double>& logits = values_[program_.operations.back().input];
    std::copy_n(logits.begin(), valid_logits_, logits_.begin());
  }
  /// Of operation k, a BatchNorm, towards the batch that forward() was last given: a full one.
  void move_running_statistics(std::size_t k, ConstVector x, Vector buffers, double share) const {
    const Operation& op = program_.operations[k];
    float* const running = static_cast<float*>(buffers.data);
    reference::move_running_statistics(
        call(k, x, buffers, options_.batch, {.batch_statistics = true}), share,
        running + op.running_mean, running + op.running_variance);
  }

  const Program program_;
  const CompileOptions options_;
  std::vector<std::vector<double>> values_, gradients_;  // by activation
  std::vector<double> gradient_;                         // of the flat vector
  std::vector<float> logits_;
  std::vector<float> cut_;  // of raw batches
  std::size_t valid_logits_ = 0;
};

class ReferenceDevice final : public Device {
 public:
  std::string description() const override { return "reference: plain loops, one core"; }
  const VectorMath& math() const override { return vector_math_f32(); }
  Result<std::unique_ptr<DeviceMemory>> allocate(std::size_t bytes) override {
    return allocate_host_memory(bytes);
  }
  Result<std::unique_ptr<Executable>> compile(const Program& program,
                                              const CompileOptions& options) override {
    PACELINE_TRYV(check_compilable(program, options));
    try {
      return std::make_unique<ReferenceExecutable>(program, options);
    } catch (const std::exception& error) {
      return fail(std::errc::not_enough_memory,
                  "the network cannot be made ready for batches of {}: {}", options.batch,
                  error.what());
    }
  }
};

}  // namespace

std::unique_ptr<Device> make_reference_device() { return std::make_unique<ReferenceDevice>(); }

}  // namespace paceline
