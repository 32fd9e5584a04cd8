// Convolutions, with bias and ReLU behind them, and channels filled up to what cuDNN wants.
#include "paceline/compute/cuda/planner_internal.h"

namespace paceline::cuda {
namespace {

std::size_t filled_up(std::size_t n, std::size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace

Planner::Site Planner::site(std::size_t k) const {
  const Operation& op = program_.operations[k];
  const Convolution& c = kind<Convolution>(k);
  const std::size_t stored = op.input == 0 ? input_channels_ : in(k).channels;
  Site site;
  site.shape = {.images = options_.batch,
                .in_channels = filled_up(in(k).channels, channel_multiple_),
                .in_height = in(k).height,
                .in_width = in(k).width,
                .out_channels = filled_up(out(k).channels, channel_multiple_),
                .kernel = c.kernel,
                .stride = c.stride,
                .padding = c.padding,
                .scalar = scalar_,
                .tf32 = precision_ == Precision::tf32};
  site.fills_in = site.shape.in_channels != stored;
  site.fills_out = site.shape.out_channels != out(k).channels;
  return site;
}

Result<ConvolutionPlan*> Planner::convolution(std::size_t k, const Site& site,
                                              ConvolutionPass pass) {
  auto made = makers_.convolution(site.shape, pass);
  if (!made)
    return fail(made.error().code, "{}: {}", program_.operations[k].name, made.error().message);
  plan_->convolutions.push_back(std::move(made).value());
  return plan_->convolutions.back().get();
}

/// The input with its channels filled up, as a step of its own where it does not lie so.
MemoryId Planner::filled_input(std::size_t k, const Site& site) {
  const Operation& op = program_.operations[k];
  const MemoryId x = activations_[op.input];
  if (!site.fills_in) return x;
  const MemoryId filled = memory(rows(op.input) * site.shape.in_channels * scalar_bytes());
  use({x, filled});
  step({.operation = k,
        .pass = backwards_ ? "backward" : "forward",
        .how = "fill channels",
        .bytes = 2 * bytes(op.input)},
       [plan = plan_.get(), x, filled, scalar = scalar_, from = in(k).channels,
        to = site.shape.in_channels, n = rows(op.input)](const Bound& b) {
         pad_channels(b.stream, scalar, plan->at(b, x), from, scalar, plan->at(b, filled), to, n);
       });
  return filled;
}

/// The weights with both channels filled up. @pre they are not as wide as they are multiplied
MemoryId Planner::filled_weights(std::size_t k, const Site& site) {
  const std::size_t window = site.shape.kernel * site.shape.kernel;
  const std::size_t all =
      site.shape.out_channels * window * site.shape.in_channels * scalar_bytes();
  const MemoryId filled = memory(all);
  use({filled});
  step({.operation = k,
        .pass = backwards_ ? "backward" : "forward",
        .how = "fill weights",
        .bytes = 2.0 * static_cast<double>(all)},
       [plan = plan_.get(), filled, all, scalar = scalar_, at = program_.operations[k].weight,
        from = in(k).channels, to = site.shape.in_channels,
        n = out(k).channels * window](const Bound& b) {
         check(cudaMemsetAsync(plan->at(b, filled), 0, all, b.stream), "cudaMemsetAsync");
         pad_channels(b.stream, scalar, element(b.weights, at, scalar), from, scalar,
                      plan->at(b, filled), to, n);
       });
  return filled;
}

Result<> Planner::convolution_forward(std::size_t k) {
  const Operation& op = program_.operations[k];
  const Fused& fused = fusion_.operations[k];
  const Site site = this->site(k);
  PACELINE_TRY(ConvolutionPlan* const plan, convolution(k, site, ConvolutionPass::forward));
  const bool fills = in(k).channels != site.shape.in_channels || site.fills_out;
  const MemoryId x = filled_input(k, site);
  const std::optional<MemoryId> w = fills ? std::optional(filled_weights(k, site)) : std::nullopt;
  const MemoryId y = activations_[fused.output];
  const MemoryId wide =
      site.fills_out ? memory(rows(op.output) * site.shape.out_channels * scalar_bytes()) : y;
  const MemoryId workspace = memory(plan->workspace_bytes());
  use({x, wide, workspace});
  if (w) use({*w});
  const ParameterCounts counts = parameter_counts(op.kind, in(k), out(k));
  const double flops =
      2.0 * static_cast<double>(options_.batch * counts.weight * out(k).height * out(k).width);
  step({.operation = k,
        .pass = "forward",
        .how = plan->name(),
        .flops = flops,
        .bytes = bytes(op.input) + bytes(op.output) +
                 static_cast<double>(counts.weight * scalar_bytes())},
       [=, all = plan_.get(), scalar = scalar_, at = op.weight](const Bound& b) {
         void* const weights =
             w ? all->at(b, *w) : const_cast<void*>(element(b.weights, at, scalar));  // only read
         plan->run(b.stream, all->at(b, x), weights, all->at(b, wide), all->at(b, workspace));
       });
  if (site.fills_out) {
    use({wide, y});
    step({.operation = k, .pass = "forward", .how = "cut channels", .bytes = 2 * bytes(op.output)},
         [=, all = plan_.get(), scalar = scalar_, from = site.shape.out_channels,
          to = out(k).channels, n = rows(op.output)](const Bound& b) {
           pad_channels(b.stream, scalar, all->at(b, wide), from, scalar, all->at(b, y), to, n);
         });
  }
  if (!kind<Convolution>(k).bias && !fused.relu) return success();
  use({y});
  step({.operation = k,
        .pass = "forward",
        .how = fused.relu ? "bias + relu" : "bias",
        .bytes = 2 * bytes(op.output)},
       [=, all = plan_.get(), scalar = scalar_, n = rows(op.output), channels = out(k).channels,
        bias = kind<Convolution>(k).bias, at = op.bias,
        relu = fused.relu.has_value()](const Bound& b) {
         bias_relu(b.stream, scalar, n, channels, all->at(b, y), bias ? b.x + at : nullptr, relu);
       });
  return success();
}

Result<> Planner::convolution_backward(std::size_t k) {
  const Operation& op = program_.operations[k];
  const Fused& fused = fusion_.operations[k];
  const Site site = this->site(k);
  const bool bias = kind<Convolution>(k).bias;
  const MemoryId y = activations_[fused.output], dy = gradient(fused.output);
  if (bias || fused.relu) {
    const MemoryId scratch = memory(bias_scratch_bytes(rows(op.output), out(k).channels));
    use({dy, scratch});
    if (fused.relu) use({y});
    step({.operation = k,
          .pass = "backward",
          .how = fused.relu ? "mask + bias" : "bias",
          .bytes = 3 * bytes(op.output)},
         [=, all = plan_.get(), scalar = scalar_, n = rows(op.output), channels = out(k).channels,
          at = op.bias, relu = fused.relu.has_value()](const Bound& b) {
           void* const dz = all->at(b, dy);
           bias_relu_backward(b.stream, scalar, n, channels, relu ? all->at(b, y) : nullptr, dz,
                              relu ? dz : nullptr, bias ? element(b.g, at, scalar) : nullptr, relu,
                              all->at(b, scratch));
         });
  }
  MemoryId dz = dy;
  if (site.fills_out) {
    dz = memory(rows(op.output) * site.shape.out_channels * scalar_bytes());
    use({dy, dz});
    step(
        {.operation = k, .pass = "backward", .how = "fill channels", .bytes = 2 * bytes(op.output)},
        [=, all = plan_.get(), scalar = scalar_, from = out(k).channels,
         to = site.shape.out_channels, n = rows(op.output)](const Bound& b) {
          pad_channels(b.stream, scalar, all->at(b, dy), from, scalar, all->at(b, dz), to, n);
        });
  }
  const ParameterCounts counts = parameter_counts(op.kind, in(k), out(k));
  const double flops =
      2.0 * static_cast<double>(options_.batch * counts.weight * out(k).height * out(k).width);
  const double moved =
      bytes(op.input) + bytes(op.output) + static_cast<double>(counts.weight * scalar_bytes());
  const bool fills = in(k).channels != site.shape.in_channels || site.fills_out;

  // Weights first: the gradient of the output is wanted no longer after that of the input.
  PACELINE_TRY(ConvolutionPlan* const weights,
               convolution(k, site, ConvolutionPass::backward_weights));
  const MemoryId x = filled_input(k, site);
  const std::size_t window = site.shape.kernel * site.shape.kernel;
  const std::optional<MemoryId> wide =
      fills ? std::optional(memory(site.shape.out_channels * window * site.shape.in_channels *
                                   scalar_bytes()))
            : std::nullopt;
  const MemoryId workspace = memory(weights->workspace_bytes());
  use({x, dz, workspace});
  if (wide) use({*wide});
  step({.operation = k,
        .pass = "backward weights",
        .how = weights->name(),
        .flops = flops,
        .bytes = moved},
       [=, all = plan_.get(), scalar = scalar_, at = op.weight](const Bound& b) {
         weights->run(b.stream, all->at(b, x), wide ? all->at(b, *wide) : element(b.g, at, scalar),
                      all->at(b, dz), all->at(b, workspace));
       });
  if (wide) {
    use({*wide});
    step({.operation = k, .pass = "backward weights", .how = "cut channels"},
         [=, all = plan_.get(), scalar = scalar_, at = op.weight, from = site.shape.in_channels,
          to = in(k).channels, n = out(k).channels * window](const Bound& b) {
           pad_channels(b.stream, scalar, all->at(b, *wide), from, scalar, element(b.g, at, scalar),
                        to, n);
         });
  }

  if (!fusion_.learned[op.input]) return success();
  PACELINE_TRY(ConvolutionPlan* const data, convolution(k, site, ConvolutionPass::backward_data));
  const std::optional<MemoryId> w = fills ? std::optional(filled_weights(k, site)) : std::nullopt;
  const MemoryId space = memory(data->workspace_bytes());
  const std::optional<MemoryId> dx_wide =
      site.fills_in
          ? std::optional(memory(rows(op.input) * site.shape.in_channels * scalar_bytes()))
          : std::nullopt;
  const auto run = [=, all = plan_.get(), scalar = scalar_, at = op.weight](const Bound& b,
                                                                            void* dx) {
    void* const from = w ? all->at(b, *w) : const_cast<void*>(element(b.weights, at, scalar));
    data->run(b.stream, dx, from, all->at(b, dz), all->at(b, space));
  };
  Work work{
      .operation = k, .pass = "backward data", .how = data->name(), .flops = flops, .bytes = moved};
  if (w) use({*w});
  if (!dx_wide) {
    into_gradient(std::move(work), op.input, false, {dz, space},
                  [run](const Bound& b, void* dx, bool) { run(b, dx); });
    return success();
  }
  use({dz, space, *dx_wide});
  step(std::move(work), [=, all = plan_.get()](const Bound& b) { run(b, all->at(b, *dx_wide)); });
  into_gradient({.operation = k, .pass = "backward data", .how = "cut channels"}, op.input, false,
                {*dx_wide},
                [=, all = plan_.get(), scalar = scalar_, from = site.shape.in_channels,
                 to = in(k).channels, n = rows(op.input)](const Bound& b, void* dx, bool) {
                  pad_channels(b.stream, scalar, all->at(b, *dx_wide), from, scalar, dx, to, n);
                });
  return success();
}

}  // namespace paceline::cuda
