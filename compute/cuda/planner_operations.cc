// The operations without weights.
#include "paceline/compute/cuda/planner_internal.h"
#include "paceline/compute/cuda/pointwise_internal.h"
#include "paceline/compute/cuda/pooling_internal.h"

namespace paceline::cuda {
namespace {

PoolShape pool_shape(std::size_t images, const Shape& in, const Shape& out, Scalar scalar) {
  return {.images = images,
          .channels = in.channels,
          .in_height = in.height,
          .in_width = in.width,
          .out_height = out.height,
          .out_width = out.width,
          .scalar = scalar};
}

}  // namespace

void Planner::operation_forward(std::size_t k) {
  const Operation& op = program_.operations[k];
  const Fused& fused = fusion_.operations[k];
  const MemoryId x = activations_[op.input], y = activations_[fused.output];
  Plan* const plan = plan_.get();
  const Scalar scalar = scalar_;
  const std::size_t count = elements(op.output);
  PoolShape pool = pool_shape(options_.batch, in(k), out(k), scalar_);
  use({x, y});
  Work work{.operation = k,
            .pass = "forward",
            .how = {},
            .flops = 0,
            .bytes = bytes(op.input) + bytes(op.output)};

  if (std::holds_alternative<Relu>(op.kind)) {
    work.how = "relu";
    step(std::move(work),
         [=](const Bound& b) { relu(b.stream, scalar, count, plan->at(b, x), plan->at(b, y)); });
  } else if (const auto* max = std::get_if<MaxPool>(&op.kind)) {
    work.how = "maximum";
    pool.kernel_height = pool.kernel_width = max->kernel, pool.stride = max->stride,
    pool.padding = max->padding;
    const MemoryId winners = kept_[k].winners = memory(count);
    use({winners});
    step(std::move(work), [=](const Bound& b) {
      max_pool(b.stream, pool, plan->at(b, x), plan->at(b, y),
               static_cast<std::uint8_t*>(plan->at(b, winners)));
    });
  } else if (std::holds_alternative<AveragePool>(op.kind) ||
             std::holds_alternative<GlobalAveragePool>(op.kind)) {
    work.how = "mean";
    step(std::move(work), [=, shape = mean_shape(k)](const Bound& b) {
      average_pool(b.stream, shape, plan->at(b, x), plan->at(b, y));
    });
  } else if (std::holds_alternative<Add>(op.kind)) {
    work.how = fused.relu ? "add + relu" : "add";
    const MemoryId other = activations_[op.other];
    use({other});
    step(std::move(work), [=, relu = fused.relu.has_value()](const Bound& b) {
      add(b.stream, scalar, count, plan->at(b, x), plan->at(b, other), plan->at(b, y), relu);
    });
  } else if (std::holds_alternative<PaddedShortcut>(op.kind)) {
    work.how = "shortcut";
    step(std::move(work), [=, shape = shortcut_shape(k)](const Bound& b) {
      shortcut(b.stream, shape, plan->at(b, x), plan->at(b, y));
    });
  } else if (const auto* drop = std::get_if<Dropout>(&op.kind)) {
    work.how = "mask";
    step(std::move(work), [=, p = drop->probability](const Bound& b) {
      if (b.dropout)
        return dropout(b.stream, scalar, count, plan->at(b, x), plan->at(b, y), b.seed, k, p,
                       false);
      check(cudaMemcpyAsync(plan->at(b, y), plan->at(b, x), count * bytes_of(scalar),
                            cudaMemcpyDeviceToDevice, b.stream),
            "cudaMemcpyAsync");
    });
  } else {
    PACELINE_CHECK(false, "{}: no operation that a GPU knows", op.name);
  }
}

void Planner::operation_backward(std::size_t k) {
  const Operation& op = program_.operations[k];
  const Fused& fused = fusion_.operations[k];
  if (!fusion_.learned[fused.output]) return;
  const MemoryId y = activations_[fused.output], dy = gradient(fused.output);
  Plan* const plan = plan_.get();
  const Scalar scalar = scalar_;
  const std::size_t count = elements(op.output);
  Work work{.operation = k,
            .pass = "backward",
            .how = {},
            .flops = 0,
            .bytes = bytes(op.input) + bytes(op.output)};

  if (std::holds_alternative<Add>(op.kind)) {
    if (fused.relu) {
      use({y, dy});
      step({.operation = k, .pass = "backward", .how = "mask", .bytes = 3 * bytes(op.output)},
           [=](const Bound& b) {
             relu_backward(b.stream, scalar, count, plan->at(b, y), plan->at(b, dy),
                           plan->at(b, dy), false);
           });
    }
    work.how = "pass on";
    for (const std::size_t side : {op.input, op.other})
      if (fusion_.learned[side])
        into_gradient(work, side, true, {dy}, [=](const Bound& b, void* dx, bool adds) {
          if (adds) return accumulate(b.stream, scalar, count, plan->at(b, dy), dx);
          check(cudaMemcpyAsync(dx, plan->at(b, dy), count * bytes_of(scalar),
                                cudaMemcpyDeviceToDevice, b.stream),
                "cudaMemcpyAsync");
        });
    return;
  }
  if (!fusion_.learned[op.input]) return;
  if (std::holds_alternative<Relu>(op.kind)) {
    work.how = "mask";
    into_gradient(
        std::move(work), op.input, true, {y, dy}, [=](const Bound& b, void* dx, bool adds) {
          relu_backward(b.stream, scalar, count, plan->at(b, y), plan->at(b, dy), dx, adds);
        });
  } else if (const auto* max = std::get_if<MaxPool>(&op.kind)) {
    work.how = "maximum";
    PoolShape pool = pool_shape(options_.batch, in(k), out(k), scalar_);
    pool.kernel_height = pool.kernel_width = max->kernel, pool.stride = max->stride,
    pool.padding = max->padding;
    const MemoryId winners = kept_[k].winners;
    into_gradient(
        std::move(work), op.input, true, {winners, dy}, [=](const Bound& b, void* dx, bool adds) {
          max_pool_backward(b.stream, pool, plan->at(b, dy),
                            static_cast<const std::uint8_t*>(plan->at(b, winners)), dx, adds);
        });
  } else if (std::holds_alternative<AveragePool>(op.kind) ||
             std::holds_alternative<GlobalAveragePool>(op.kind)) {
    work.how = "mean";
    into_gradient(std::move(work), op.input, true, {dy},
                  [=, shape = mean_shape(k)](const Bound& b, void* dx, bool adds) {
                    average_pool_backward(b.stream, shape, plan->at(b, dy), dx, adds);
                  });
  } else if (std::holds_alternative<PaddedShortcut>(op.kind)) {
    work.how = "shortcut";
    into_gradient(std::move(work), op.input, true, {dy},
                  [=, shape = shortcut_shape(k)](const Bound& b, void* dx, bool adds) {
                    shortcut_backward(b.stream, shape, plan->at(b, dy), dx, adds);
                  });
  } else if (const auto* drop = std::get_if<Dropout>(&op.kind)) {
    work.how = "mask";
    into_gradient(std::move(work), op.input, true, {dy},
                  [=, p = drop->probability](const Bound& b, void* dx, bool adds) {
                    dropout(b.stream, scalar, count, plan->at(b, dy), dx, b.seed, k, p, adds);
                  });
  }
}

PoolShape Planner::mean_shape(std::size_t k) const {
  PoolShape shape = pool_shape(options_.batch, in(k), out(k), scalar_);
  if (const auto* mean = std::get_if<AveragePool>(&program_.operations[k].kind)) {
    shape.kernel_height = shape.kernel_width = mean->kernel;
    shape.stride = mean->stride;
  } else {
    shape.kernel_height = in(k).height, shape.kernel_width = in(k).width;
    shape.stride = 1;
  }
  return shape;
}

ShortcutShape Planner::shortcut_shape(std::size_t k) const {
  return {.images = options_.batch,
          .stride = kind<PaddedShortcut>(k).stride,
          .in_height = in(k).height,
          .in_width = in(k).width,
          .in_channels = in(k).channels,
          .out_height = out(k).height,
          .out_width = out(k).width,
          .out_channels = out(k).channels,
          .scalar = scalar_};
}

}  // namespace paceline::cuda
