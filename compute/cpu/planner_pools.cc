// Pooling.
#include "paceline/compute/cpu/formats_internal.h"
#include "paceline/compute/cpu/planner_internal.h"
#include "paceline/compute/cpu/pooling_internal.h"

namespace paceline {
namespace {

using pooling::Windows;

double bytes(const dnnl::memory& m) { return static_cast<double>(m.get_desc().get_size()); }

Windows windows(const MaxPool& op, const Shape& in, const Shape& out) {
  return {{in.height, out.height, op.kernel, op.stride, op.padding},
          {in.width, out.width, op.kernel, op.stride, op.padding}};
}
Windows windows(const AveragePool& op, const Shape& in, const Shape& out) {
  return {{in.height, out.height, op.kernel, op.stride, 0},
          {in.width, out.width, op.kernel, op.stride, 0}};
}
Windows windows(const GlobalAveragePool&, const Shape& in, const Shape& out) {
  return {{in.height, out.height, in.height, 1, 0}, {in.width, out.width, in.width, 1, 0}};
}

/// As `x` lies, which is a channel grid. Where blocks of single pixels leave no gap that is N,H,W,C,
/// too, and called so: a linear layer then reads it as it is.
dnnl::memory::desc pooled(const dnnl::memory::desc& x, std::size_t images, const Shape& out) {
  const ChannelGrid grid = channel_grid(x).value();
  const bool whole = out.height * out.width == 1 && grid.channels == grid.padded_channels();
  const bool blocked = x != plain(x) && !whole;
  return f32(dimensions(images, out), !blocked           ? Tag::nhwc
                                      : grid.lanes == 16 ? Tag::nChw16c
                                                         : Tag::nChw8c);
}

}  // namespace

// A ReLU before a maximum lets a window's gradient through if the window's largest is positive. Known
// when the maximum is found, it costs nothing; before the ReLU it would be a pass over activations
// that are several times larger. A BatchNorm finds its mask for nothing, too.
std::optional<std::size_t> Planner::masked_by(std::size_t k) const {
  if (fusion_.readers[operation(k).input].size() != 1) return std::nullopt;
  for (std::size_t head = 0; head < k; ++head)
    if (fused(head).output == operation(k).input && !fused(head).absorbed &&
        !std::holds_alternative<BatchNorm>(operation(head).kind) &&
        (fused(head).relu || std::holds_alternative<Relu>(operation(head).kind)))
      return head;
  return std::nullopt;
}

void Planner::forward(std::size_t k, const MaxPool& op) {
  const Windows w = windows(op, in(k), out(k));
  const memory x = as(k, input(k), in_channel_grid(spatial(input(k).get_desc())), plan_->forward);
  const memory y = output(k) = plan_->arena.place(pooled(x.get_desc(), options_.batch, out(k)));
  const std::optional<std::size_t> head = masked_by(k);
  memory& winners = sites_[k].winners;
  if (options_.training && learned_input(k)) {
    winners = plan_->arena.place(winners_desc(w, *channel_grid(x.get_desc())));
    if (head) sites_[*head].masked = true;
  }
  add(plan_->forward, std::make_unique<MaxPoolForward>(w, x, y, winners, head.has_value()),
      {x, y, winners},
      {.operation = k,
       .pass = "forward",
       .how = head && winners ? "maximum + mask" : "maximum",
       .bytes = bytes(x) + bytes(y) + (winners ? bytes(winners) : 0)});
}

void Planner::backward(std::size_t k, const MaxPool& op) {
  const memory dy = gradient(k, operation(k).output, output(k).get_desc()).value;
  const memory dx = plan_->arena.place(in_channel_grid(spatial(input(k).get_desc())));
  const memory& winners = sites_[k].winners;
  add(plan_->backward,
      std::make_unique<MaxPoolBackward>(windows(op, in(k), out(k)), dy, winners, dx),
      {dy, winners, dx},
      {.operation = k,
       .pass = "backward",
       .how = masked_by(k) ? "maximum + mask" : "maximum",
       .bytes = bytes(dy) + bytes(winners) + bytes(dx)});
  contribute(operation(k).input, dx);
}

void Planner::average(std::size_t k, const Windows& w) {
  const memory x = as(k, input(k), in_channel_grid(spatial(input(k).get_desc())), plan_->forward);
  const memory y = output(k) = plan_->arena.place(pooled(x.get_desc(), options_.batch, out(k)));
  add(plan_->forward, std::make_unique<AveragePoolStep>(AveragePoolStep::Way::forward, w, x, y),
      {x, y}, {.operation = k, .pass = "forward", .how = "mean", .bytes = bytes(x) + bytes(y)});
}

void Planner::average_back(std::size_t k, const Windows& w) {
  const memory dy = gradient(k, operation(k).output, output(k).get_desc()).value;
  const memory dx = plan_->arena.place(in_channel_grid(spatial(input(k).get_desc())));
  add(plan_->backward, std::make_unique<AveragePoolStep>(AveragePoolStep::Way::backward, w, dy, dx),
      {dy, dx},
      {.operation = k, .pass = "backward", .how = "mean", .bytes = bytes(dy) + bytes(dx)});
  contribute(operation(k).input, dx);
}

void Planner::forward(std::size_t k, const AveragePool& op) {
  average(k, windows(op, in(k), out(k)));
}
void Planner::backward(std::size_t k, const AveragePool& op) {
  average_back(k, windows(op, in(k), out(k)));
}
void Planner::forward(std::size_t k, const GlobalAveragePool& op) {
  average(k, windows(op, in(k), out(k)));
}
void Planner::backward(std::size_t k, const GlobalAveragePool& op) {
  average_back(k, windows(op, in(k), out(k)));
}

}  // namespace paceline
