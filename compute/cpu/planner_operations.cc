// Operations without weights of their own to multiply by, BatchNorm among them.
#include <algorithm>

#include "paceline/compute/cpu/formats_internal.h"
#include "paceline/compute/cpu/planner_internal.h"
#include "paceline/compute/cpu/residual_internal.h"

namespace paceline {
namespace {

double bytes(const dnnl::memory& m) { return static_cast<double>(m.get_desc().get_size()); }

}  // namespace

void Planner::forward(std::size_t k, const BatchNorm&) {
  Steps& steps = plan_->forward;
  const memory y = as(k, input(k), in_channel_grid(input(k).get_desc()), steps);
  const memory other =
      fused(k).add ? as(k, values_[fused(k).other], y.get_desc(), steps) : memory();
  sites_[k].batch_norm =
      std::make_shared<BatchNormState>(*channel_grid(y.get_desc()), operation(k));
  const memory z = output(k) = plan_->arena.place(y.get_desc());
  const bool relu = fused(k).relu.has_value();
  add(steps, std::make_unique<BatchNormForward>(sites_[k].batch_norm, y, other, z, relu),
      {y, other, z},
      {.operation = k,
       .pass = "forward",
       .how = fmt::format("normalise{}{}", other ? " + add" : "", relu ? " + relu" : ""),
       .bytes = (other ? 4 : 3) * bytes(y)});
}

void Planner::backward(std::size_t k, const BatchNorm&) {
  const memory y = as(k, input(k), in_channel_grid(input(k).get_desc()), plan_->backward);
  const std::vector<Part> parts = gradient_parts(k, fused(k).output, y.get_desc());
  std::vector<memory> free;
  for (const Part& part : parts)
    if (part.free) free.push_back(part.value);
  const auto writable = [&] {
    if (free.empty()) return plan_->arena.place(y.get_desc());
    const memory m = free.back();
    free.pop_back();
    return m;
  };
  const bool to_other = fused(k).add && fusion_.learned[fused(k).other];
  BatchNormBackward::Memories m;
  m.y = y;
  m.first = parts.at(0).value;
  if (parts.size() > 1) m.second = parts[1].value;
  if (to_other || m.second) m.dz = writable();
  if (learned_input(k)) m.dy = m.dz && !to_other ? m.dz : writable();
  using batch_norm::Mask;
  Mask mask = Mask::none;
  if (fused(k).relu) mask = fused(k).add ? Mask::from_output : Mask::recomputed;
  if (mask == Mask::from_output) m.z = output(k);
  // The sums: y, the parts, the output, and what is kept; the gradient: y, dz, dy.
  const double passes =
      1 + static_cast<double>(parts.size()) + (m.z ? 1 : 0) + (m.dz ? 1 : 0) + (m.dy ? 3 : 0);
  add(plan_->backward, std::make_unique<BatchNormBackward>(sites_[k].batch_norm, m, mask),
      {m.y, m.first, m.second, m.z, m.dz, m.dy},
      {.operation = k,
       .pass = "backward",
       .how = fmt::format("normalise{}{}", m.second ? " + sum" : "",
                          mask != Mask::none ? " + mask" : ""),
       .bytes = passes * bytes(y)});
  if (to_other) contribute(fused(k).other, m.dz);
  if (m.dy) contribute(operation(k).input, m.dy);
}

void Planner::forward(std::size_t k, const Add&) {
  Steps& steps = plan_->forward;
  const memory a = input(k), b = as(k, values_[operation(k).other], a.get_desc(), steps);
  const memory z = output(k) = plan_->arena.place(a.get_desc());
  const bool relu = fused(k).relu.has_value();
  add(steps, std::make_unique<AddStep>(a, b, z, relu), {a, b, z},
      {.operation = k,
       .pass = "forward",
       .how = relu ? "add + relu" : "add",
       .bytes = 3 * bytes(z)});
}

void Planner::backward(std::size_t k, const Add&) {
  const memory dz = gradient_before_relu(k, output(k).get_desc()).value;
  contribute(operation(k).input, dz, false);
  contribute(operation(k).other, dz, false);
}

namespace {
dnnl::eltwise_forward::primitive_desc relu_of(const dnnl::memory::desc& desc, dnnl::prop_kind kind,
                                              const dnnl::engine& engine) {
  return {{kind, dnnl::algorithm::eltwise_relu_use_dst_for_bwd, desc, 0.0f}, attributes(), engine};
}
}  // namespace

void Planner::forward(std::size_t k, const Relu&) {
  const auto pd = relu_of(input(k).get_desc(), direction(), engine_);
  const memory y = output(k) = plan_->arena.place(pd.dst_desc());
  add(plan_->forward, dnnl::eltwise_forward(pd), pd.scratchpad_desc(),
      {{DNNL_ARG_SRC, input(k)}, {DNNL_ARG_DST, y}},
      {.operation = k, .pass = "forward", .how = "relu", .bytes = 2 * bytes(y)});
}

void Planner::backward(std::size_t k, const Relu&) {
  Part dy = gradient(k, operation(k).output, output(k).get_desc());
  if (!sites_[k].masked) dy = masked(k, std::move(dy), output(k));
  contribute(operation(k).input, dy.value, dy.free);
}

Planner::Part Planner::masked(std::size_t k, Part dy, const memory& y) {
  const memory::desc desc = y.get_desc();
  const dnnl::eltwise_backward::primitive_desc pd(
      {dnnl::algorithm::eltwise_relu_use_dst_for_bwd, desc, desc, 0.0f}, attributes(), engine_,
      relu_of(desc, dnnl::prop_kind::forward_training, engine_));
  const Part dx = dy.free ? dy : Part{plan_->arena.place(desc)};
  add(plan_->backward, dnnl::eltwise_backward(pd), pd.scratchpad_desc(),
      {{DNNL_ARG_DST, y}, {DNNL_ARG_DIFF_DST, dy.value}, {DNNL_ARG_DIFF_SRC, dx.value}},
      {.operation = k, .pass = "backward", .how = "mask", .bytes = 3 * bytes(y)});
  return dx;
}

void Planner::forward(std::size_t k, const Dropout& op) {
  const memory x = as(k, input(k), plain(input(k).get_desc()), plan_->forward);
  const memory y = output(k) = plan_->arena.place(x.get_desc());
  add(plan_->forward, std::make_unique<DropoutStep>(x, y, k, op.probability), {x, y},
      {.operation = k, .pass = "forward", .how = "mask", .bytes = 2 * bytes(y)});
}

void Planner::backward(std::size_t k, const Dropout& op) {
  const memory dy = gradient(k, operation(k).output, output(k).get_desc()).value;
  const memory dx = plan_->arena.place(dy.get_desc());
  add(plan_->backward, std::make_unique<DropoutStep>(dy, dx, k, op.probability), {dy, dx},
      {.operation = k, .pass = "backward", .how = "mask", .bytes = 2 * bytes(dy)});
  contribute(operation(k).input, dx);
}

void Planner::forward(std::size_t k, const PaddedShortcut& op) {
  const memory x = as(k, input(k), in_channel_grid(input(k).get_desc()), plan_->forward);
  const ChannelGrid narrow = *channel_grid(x.get_desc());
  const memory::desc wide =
      f32(dimensions(options_.batch, out(k)), narrow.lanes == 16  ? Tag::nChw16c
                                              : narrow.lanes == 8 ? Tag::nChw8c
                                                                  : Tag::nhwc);
  const memory y = output(k) = plan_->arena.place(wide);
  add(plan_->forward,
      std::make_unique<PaddedShortcutStep>(PaddedShortcutStep::Way::forward, x, y, narrow,
                                           *channel_grid(wide), op.stride),
      {x, y}, {.operation = k, .pass = "forward", .how = "shortcut", .bytes = bytes(x) + bytes(y)});
}

void Planner::backward(std::size_t k, const PaddedShortcut& op) {
  const memory dy = gradient(k, operation(k).output, output(k).get_desc()).value;
  const memory dx = plan_->arena.place(in_channel_grid(input(k).get_desc()));
  add(plan_->backward,
      std::make_unique<PaddedShortcutStep>(PaddedShortcutStep::Way::backward, dy, dx,
                                           *channel_grid(dx.get_desc()),
                                           *channel_grid(dy.get_desc()), op.stride),
      {dy, dx},
      {.operation = k, .pass = "backward", .how = "shortcut", .bytes = bytes(dx) + bytes(dy)});
  contribute(operation(k).input, dx);
}

}  // namespace paceline
