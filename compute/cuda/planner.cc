#include <algorithm>

#include "paceline/compute/cuda/planner_internal.h"
#include "paceline/compute/cuda/pointwise_internal.h"

namespace paceline::cuda {
namespace {

constexpr std::size_t kAlignment = 256;  // cudaMalloc's own, and what plans may count on

std::size_t filled_up(std::size_t n, std::size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace

Planner::Planner(const Program& program, const CompileOptions& options, Precision precision,
                 const PlanMakers& makers)
    : program_(program),
      options_(options),
      precision_(precision),
      makers_(makers),
      scalar_(precision == Precision::bf16 ? Scalar::bf16 : Scalar::f32),
      fusion_(program),
      channel_multiple_(precision == Precision::bf16 ? 8 : 4),
      plan_(std::make_unique<Plan>()),
      gradients_(program.activations.size()),
      gradient_written_(program.activations.size(), false),
      kept_(program.operations.size()) {}

Result<std::unique_ptr<Plan>> Planner::make() {
  const std::size_t loss_at = program_.operations.size() - 1;
  input();
  for (std::size_t k = 0; k < loss_at; ++k)
    if (!fusion_.operations[k].absorbed) PACELINE_TRYV(forward(k));
  loss();
  if (options_.training) {
    backwards_ = true;
    for (std::size_t k = loss_at; k-- > 0;)
      if (!fusion_.operations[k].absorbed) PACELINE_TRYV(backward(k));
    find_gaps();
  }
  for (std::size_t m = 0; m < lives_.size(); ++m)
    if (!used_[m]) lives_[m].bytes = 0;
  for (const Lifetime& life : lives_) plan_->unshared_bytes += filled_up(life.bytes, kAlignment);
  plan_->placement = place(lives_, kAlignment);
  return std::move(plan_);
}

// --- Memory and steps

MemoryId Planner::memory(std::size_t bytes) {
  lives_.push_back({.bytes = bytes, .first = now_, .last = now_});
  used_.push_back(false);
  return lives_.size() - 1;
}

void Planner::use(std::initializer_list<MemoryId> memories) {
  for (const MemoryId m : memories) {
    if (!used_[m]) lives_[m].first = now_;
    used_[m] = true;
    lives_[m].last = now_;
  }
}

void Planner::step(Work work, Run run) {
  std::vector<PlannedStep>& list = backwards_ ? plan_->backward : plan_->forward;
  list.push_back({{.name = program_.operations[work.operation].name,
                   .pass = std::move(work.pass),
                   .how = std::move(work.how),
                   .flops = work.flops,
                   .bytes = work.bytes},
                  std::move(run)});
  ++now_;
}

std::size_t Planner::elements(std::size_t activation) const {
  return options_.batch * program_.activations[activation].count();
}

std::size_t Planner::rows(std::size_t activation) const {
  return elements(activation) / program_.activations[activation].channels;
}

double Planner::bytes(std::size_t activation) const {
  return static_cast<double>(elements(activation) * scalar_bytes());
}

/// The images come as f32 or as bytes; every other activation is written by its operation.
void Planner::input() {
  const Shape& image = program_.activations[0];
  const bool convolved = std::ranges::all_of(fusion_.readers[0], [&](std::size_t k) {
    return std::holds_alternative<Convolution>(program_.operations[k].kind);
  });
  input_channels_ = convolved ? filled_up(image.channels, channel_multiple_) : image.channels;
  const std::size_t pixels = options_.batch * image.height * image.width;
  for (std::size_t a = 0; a < program_.activations.size(); ++a)
    activations_.push_back(
        memory(a == 0 ? pixels * input_channels_ * scalar_bytes() : elements(a) * scalar_bytes()));
  const MemoryId to = activations_[0];
  use({to});
  step({.operation = 0,
        .pass = "forward",
        .how = "cut or convert",
        .bytes = 4.0 * static_cast<double>(pixels * image.channels)},
       [plan = plan_.get(), to, pixels, image, images = options_.batch, channels = input_channels_,
        scalar = scalar_](const Bound& b) {
         if (!b.cuts)
           return pad_channels(b.stream, Scalar::f32, b.images, image.channels, scalar,
                               plan->at(b, to), channels, pixels);
         const CutShape shape{.images = images,
                              .channels = image.channels,
                              .in_height = b.stored.height,
                              .in_width = b.stored.width,
                              .out_height = image.height,
                              .out_width = image.width,
                              .out_channels = channels,
                              .scalar = scalar};
         cut_images(b.stream, shape, static_cast<const std::uint8_t*>(b.images), b.cuts, b.scale,
                    b.shift, plan->at(b, to));
       });
  plan_->forward.back().cost.name = "input";
}

void Planner::loss() {
  const Operation& op = program_.operations.back();
  const std::size_t classes = program_.activations[op.input].count();
  const LossShape shape{.images = options_.batch, .classes = classes, .scalar = scalar_};
  const MemoryId logits = activations_[op.input];
  const MemoryId scratch = memory(loss_scratch_bytes(shape));
  use({logits, scratch});
  const auto cost = [&](std::string how, int passes) {
    return OperationCost{
        .name = op.name, .pass = "loss", .how = std::move(how), .bytes = passes * bytes(op.input)};
  };
  plan_->test_loss = {cost("softmax, cross entropy", 1), [=, plan = plan_.get()](const Bound& b) {
                        LossShape real = shape;
                        real.images = b.count;
                        softmax_cross_entropy(b.stream, real, plan->at(b, logits), b.labels, 0,
                                              b.logits, nullptr, b.sums, plan->at(b, scratch));
                      }};
  if (options_.training) {
    const MemoryId dlogits = gradient(op.input);
    use({dlogits});
    gradient_written_[op.input] = true;
    plan_->loss = {
        cost("softmax, cross entropy and gradient", 2),
        [=, plan = plan_.get(),
         smoothing = std::get<SoftmaxCrossEntropy>(op.kind).label_smoothing](const Bound& b) {
          softmax_cross_entropy(b.stream, shape, plan->at(b, logits), b.labels, smoothing, b.logits,
                                plan->at(b, dlogits), b.sums, plan->at(b, scratch));
        }};
  }
  ++now_;
}

MemoryId Planner::gradient(std::size_t activation) {
  if (!gradients_[activation])
    gradients_[activation] = memory(elements(activation) * scalar_bytes());
  return *gradients_[activation];
}

void Planner::into_gradient(Work work, std::size_t activation, bool adds,
                            std::initializer_list<MemoryId> reads,
                            std::function<void(const Bound&, void*, bool)> write) {
  const MemoryId target = gradient(activation);
  const bool add = gradient_written_[activation];
  gradient_written_[activation] = true;
  const std::size_t k = work.operation;
  const MemoryId first = add && !adds ? memory(elements(activation) * scalar_bytes()) : target;
  use(reads);
  use({first});
  if (add) use({target});
  step(std::move(work), [plan = plan_.get(), first, add = add && adds, write = std::move(write)](
                            const Bound& b) { write(b, plan->at(b, first), add); });
  if (first == target) return;
  use({first, target});
  step({.operation = k, .pass = "backward", .how = "add", .bytes = 3 * bytes(activation)},
       [plan = plan_.get(), first, target, scalar = scalar_,
        count = elements(activation)](const Bound& b) {
         accumulate(b.stream, scalar, count, plan->at(b, first), plan->at(b, target));
       });
}

/// What no tensor covers, in order.
void Planner::find_gaps() {
  std::vector<Gap> tensors;
  for (const Operation& op : program_.operations) {
    const ParameterCounts counts =
        parameter_counts(op.kind, program_.activations[op.input], program_.activations[op.output]);
    if (counts.weight > 0) tensors.push_back({op.weight, op.weight + counts.weight});
    if (counts.bias > 0) tensors.push_back({op.bias, op.bias + counts.bias});
  }
  std::ranges::sort(tensors, {}, &Gap::first);
  std::size_t end = 0;
  for (const Gap& tensor : tensors) {
    if (tensor.first > end) plan_->gaps.push_back({end, tensor.first});
    end = std::max(end, tensor.last);
  }
  if (end < program_.parameter_elements) plan_->gaps.push_back({end, program_.parameter_elements});
}

Result<std::unique_ptr<Plan>> make_plan(const Program& program, const CompileOptions& options,
                                        Precision precision, const PlanMakers& makers) {
  return Planner(program, options, precision, makers).make();
}

}  // namespace paceline::cuda
