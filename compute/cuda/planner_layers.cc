// Linear layers and BatchNorm, and which file plans what.
#include "paceline/compute/cuda/batch_norm_internal.h"
#include "paceline/compute/cuda/planner_internal.h"
#include "paceline/compute/cuda/pointwise_internal.h"

namespace paceline::cuda {

Result<> Planner::forward(std::size_t k) {
  const OperationKind& kind = program_.operations[k].kind;
  if (std::holds_alternative<Convolution>(kind)) return convolution_forward(k);
  if (std::holds_alternative<paceline::Linear>(kind)) return linear_forward(k);
  if (std::holds_alternative<BatchNorm>(kind))
    batch_norm_forward(k);
  else
    operation_forward(k);
  return success();
}

Result<> Planner::backward(std::size_t k) {
  const OperationKind& kind = program_.operations[k].kind;
  if (std::holds_alternative<Convolution>(kind)) return convolution_backward(k);
  if (std::holds_alternative<paceline::Linear>(kind)) return linear_backward(k);
  if (std::holds_alternative<BatchNorm>(kind))
    batch_norm_backward(k);
  else
    operation_backward(k);
  return success();
}

// --- Linear layers

Result<> Planner::linear_forward(std::size_t k) {
  const Operation& op = program_.operations[k];
  const Fused& fused = fusion_.operations[k];
  const LinearShape shape{.rows = options_.batch,
                          .in = in(k).count(),
                          .out = out(k).count(),
                          .scalar = scalar_,
                          .tf32 = precision_ == Precision::tf32,
                          .bias = true,
                          .relu = fused.relu.has_value(),
                          .deterministic = options_.deterministic,
                          .training = options_.training};
  auto made = makers_.linear(shape);
  if (!made) return fail(made.error().code, "{}: {}", op.name, made.error().message);
  plan_->linears.push_back(std::move(made).value());
  Linear* const linear = plan_->linears.back().get();
  kept_[k].linear = linear;
  const MemoryId x = activations_[op.input], y = activations_[fused.output];
  const MemoryId workspace = memory(linear->workspace_bytes());
  use({x, y, workspace});
  step(
      {.operation = k,
       .pass = "forward",
       .how = !linear->applies_bias() ? "cublasLt"
              : shape.relu            ? "cublasLt, bias + relu"
                                      : "cublasLt, bias",
       .flops = 2.0 * static_cast<double>(shape.rows * shape.in * shape.out),
       .bytes = bytes(op.input) + bytes(op.output) +
                static_cast<double>(shape.in * shape.out * scalar_bytes())},
      [=, all = plan_.get(), scalar = scalar_, weight = op.weight, bias = op.bias](const Bound& b) {
        linear->forward(b.stream, all->at(b, x), element(b.weights, weight, scalar), b.x + bias,
                        all->at(b, y), all->at(b, workspace));
      });
  if (linear->applies_bias()) return success();
  use({y});
  step({.operation = k,
        .pass = "forward",
        .how = shape.relu ? "bias + relu" : "bias",
        .bytes = 2 * bytes(op.output)},
       [=, all = plan_.get(), bias = op.bias](const Bound& b) {
         bias_relu(b.stream, shape.scalar, shape.rows, shape.out, all->at(b, y), b.x + bias,
                   shape.relu);
       });
  return success();
}

Result<> Planner::linear_backward(std::size_t k) {
  const Operation& op = program_.operations[k];
  const Fused& fused = fusion_.operations[k];
  Linear* const linear = kept_[k].linear;
  const MemoryId x = activations_[op.input], y = activations_[fused.output],
                 dz = gradient(fused.output);
  const std::size_t outs = out(k).count();
  const MemoryId scratch = memory(bias_scratch_bytes(options_.batch, outs));
  use({dz, scratch});
  if (fused.relu) use({y});
  step({.operation = k,
        .pass = "backward",
        .how = fused.relu ? "mask + bias" : "bias",
        .bytes = 3 * bytes(op.output)},
       [=, all = plan_.get(), scalar = scalar_, n = options_.batch, at = op.bias,
        relu = fused.relu.has_value()](const Bound& b) {
         void* const dy = all->at(b, dz);
         bias_relu_backward(b.stream, scalar, n, outs, relu ? all->at(b, y) : nullptr, dy,
                            relu ? dy : nullptr, element(b.g, at, scalar), relu,
                            all->at(b, scratch));
       });
  const double flops = 2.0 * static_cast<double>(options_.batch * in(k).count() * outs);
  const double moved = bytes(op.input) + bytes(op.output) +
                       static_cast<double>(in(k).count() * outs * scalar_bytes());
  const MemoryId workspace = memory(linear->workspace_bytes());
  use({x, dz, workspace});
  step({.operation = k,
        .pass = "backward weights",
        .how = "cublasLt",
        .flops = flops,
        .bytes = moved},
       [=, all = plan_.get(), scalar = scalar_, at = op.weight](const Bound& b) {
         linear->backward_weights(b.stream, all->at(b, x), all->at(b, dz), element(b.g, at, scalar),
                                  all->at(b, workspace));
       });
  if (!fusion_.learned[op.input]) return success();
  const MemoryId space = memory(linear->workspace_bytes());
  into_gradient(
      {.operation = k, .pass = "backward data", .how = "cublasLt", .flops = flops, .bytes = moved},
      op.input, false, {dz, space},
      [=, all = plan_.get(), scalar = scalar_, at = op.weight](const Bound& b, void* dx, bool) {
        linear->backward_data(b.stream, all->at(b, dz), element(b.weights, at, scalar), dx,
                              all->at(b, space));
      });
  return success();
}

// --- BatchNorm, with the addition and the ReLU that it takes along

void Planner::batch_norm_forward(std::size_t k) {
  const Operation& op = program_.operations[k];
  const Fused& fused = fusion_.operations[k];
  const BatchNorm& norm = kind<BatchNorm>(k);
  const BatchNormShape shape{.rows = rows(op.input), .channels = in(k).channels, .scalar = scalar_};
  const MemoryId x = activations_[op.input], y = activations_[fused.output];
  const MemoryId statistics = kept_[k].statistics = memory(2 * shape.channels * sizeof(float));
  const MemoryId scratch = memory(batch_norm_scratch_bytes(shape));
  const std::optional<MemoryId> other =
      fused.add ? std::optional(activations_[fused.other]) : std::nullopt;
  use({x, y, statistics, scratch});
  if (other) use({*other});
  step({.operation = k,
        .pass = "forward",
        .how = std::string("normalise") + (other ? " + add" : "") + (fused.relu ? " + relu" : ""),
        .bytes = (other ? 4 : 3) * bytes(op.input)},
       [=, all = plan_.get(), relu = fused.relu.has_value()](const Bound& b) {
         float* const saved = static_cast<float*>(all->at(b, statistics));
         const BatchNormForward args{.x = all->at(b, x),
                                     .other = other ? all->at(b, *other) : nullptr,
                                     .y = all->at(b, y),
                                     .weight = b.x + op.weight,
                                     .bias = b.x + op.bias,
                                     .mean = saved,
                                     .inverse_deviation = saved + shape.channels,
                                     .running_mean = b.buffers + op.running_mean,
                                     .running_variance = b.buffers + op.running_variance,
                                     .epsilon = norm.epsilon,
                                     .momentum = b.share < 0 ? norm.momentum : b.share,
                                     .relu = relu};
         if (b.batch_statistics)
           batch_norm_train(b.stream, shape, args, all->at(b, scratch));
         else
           batch_norm_evaluate(b.stream, shape, args);
       });
}

void Planner::batch_norm_backward(std::size_t k) {
  const Operation& op = program_.operations[k];
  const Fused& fused = fusion_.operations[k];
  const BatchNormShape shape{.rows = rows(op.input), .channels = in(k).channels, .scalar = scalar_};
  const MemoryId x = activations_[op.input], y = activations_[fused.output],
                 dy = gradient(fused.output);
  const MemoryId statistics = kept_[k].statistics;
  const MemoryId scratch = memory(batch_norm_scratch_bytes(shape));
  // The other side of the addition takes its gradient in the same pass.
  const bool other = fused.add && fusion_.learned[fused.other];
  const bool adds_other = other && gradient_written_[fused.other];
  const MemoryId dother = other ? gradient(fused.other) : 0;
  if (other) gradient_written_[fused.other] = true;
  use({x, dy, statistics, scratch});
  if (fused.relu) use({y});
  if (other) use({dother});
  const bool wanted = fusion_.learned[op.input];
  const auto run = [=, all = plan_.get(), relu = fused.relu.has_value()](const Bound& b, void* dx) {
    const float* const saved = static_cast<const float*>(all->at(b, statistics));
    const BatchNormBackward args{.x = all->at(b, x),
                                 .y = relu ? all->at(b, y) : nullptr,
                                 .dy = all->at(b, dy),
                                 .dx = dx,
                                 .dother = other ? all->at(b, dother) : nullptr,
                                 .add_to_dother = adds_other,
                                 .weight = b.x + op.weight,
                                 .mean = saved,
                                 .inverse_deviation = saved + shape.channels,
                                 .dweight = element(b.g, op.weight, shape.scalar),
                                 .dbias = element(b.g, op.bias, shape.scalar),
                                 .relu = relu};
    paceline::cuda::batch_norm_backward(b.stream, shape, args, all->at(b, scratch));
  };
  Work work{
      .operation = k,
      .pass = "backward",
      .how = std::string("normalise") + (other ? " + add" : "") + (fused.relu ? " + mask" : ""),
      .bytes = (other ? 6 : 5) * bytes(op.input)};
  if (wanted)
    into_gradient(std::move(work), op.input, false, {x, dy},
                  [run](const Bound& b, void* dx, bool) { run(b, dx); });
  else
    step(std::move(work), [run](const Bound& b) { run(b, nullptr); });
}

}  // namespace paceline::cuda
