// Operations with weights: convolutions and linear layers.
#include <algorithm>
#include <array>
#include <chrono>
#include <unordered_map>

#include "paceline/compute/cpu/formats_internal.h"
#include "paceline/compute/cpu/planner_internal.h"

namespace paceline {
namespace {

constexpr std::array kTensors = {DNNL_ARG_SRC,       DNNL_ARG_WEIGHTS,  DNNL_ARG_BIAS,
                                 DNNL_ARG_DST,       DNNL_ARG_DIFF_SRC, DNNL_ARG_DIFF_WEIGHTS,
                                 DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST};

dnnl::memory::desc tensor(const dnnl::primitive_desc& pd, int which) {
  return pd.query_md(dnnl::query::exec_arg_md, which);
}

}  // namespace

Planner::Work Planner::work(std::size_t k, const char* pass, const dnnl::primitive_desc& pd) const {
  Work work{.operation = k, .pass = pass, .how = pd.impl_info_str()};
  const std::size_t weights = parameter_counts(operation(k).kind, in(k), out(k)).weight;
  work.flops = 2.0 * static_cast<double>(options_.batch * weights * out(k).height * out(k).width);
  for (const int which : kTensors) work.bytes += static_cast<double>(tensor(pd, which).get_size());
  return work;
}

double Planner::seconds(const dnnl::primitive_desc& pd, const memory::desc& weights) const {
  using Clock = std::chrono::steady_clock;
  constexpr int kLeast = 3, kMost = 20;
  constexpr double kEnough = 0.03;
  dnnl::stream stream(engine_);
  std::unordered_map<int, memory> arguments;
  const auto make = [&](const memory::desc& desc) {
    memory m(desc, engine_);  // pages that exist, numbers that are not denormal
    std::fill_n(static_cast<std::byte*>(m.get_data_handle()), desc.get_size(), std::byte{});
    return m;
  };
  for (const int which : kTensors)
    if (const memory::desc desc = tensor(pd, which); desc.get_size() > 0)
      arguments.emplace(which, make(desc));
  if (pd.scratchpad_desc().get_size() > 0)
    arguments.emplace(DNNL_ARG_SCRATCHPAD, make(pd.scratchpad_desc()));
  memory ours = make(weights);
  const bool to_weights = arguments.contains(DNNL_ARG_DIFF_WEIGHTS);
  memory& theirs = arguments.at(to_weights ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS);
  const dnnl::reorder before(ours, theirs), after(theirs, ours);
  const dnnl::primitive primitive(pd);
  double best = 1e9, all = 0;
  for (int run = 0; run < kMost && (run < kLeast || all < kEnough); ++run) {
    const auto start = Clock::now();
    if (!to_weights) before.execute(stream, ours, theirs);
    primitive.execute(stream, arguments);
    if (to_weights) after.execute(stream, theirs, ours);
    stream.wait();
    const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, elapsed);
    all += elapsed;
  }
  return best;
}

template <class Make>
auto Planner::fastest(std::size_t k, const char* pass, Make make) {
  using Description = decltype(make(dnnl::algorithm::convolution_direct));
  const Description direct = make(dnnl::algorithm::convolution_direct);
  if (options_.deterministic) return direct;
  std::optional<Description> winograd;
  try {
    winograd = make(dnnl::algorithm::convolution_winograd);
  } catch (const dnnl::error&) {
    return direct;  // no such thing for this shape or processor
  }
  const Convolution& op = std::get<Convolution>(operation(k).kind);
  const Shape &i = in(k), &o = out(k);
  const std::string what = fmt::format(
      "{}: {} images, {}x{}x{} to {}x{}x{}, kernel {}, stride {}, padding {}{}{}", pass,
      options_.batch, i.channels, i.height, i.width, o.channels, o.height, o.width, op.kernel,
      op.stride, op.padding, op.bias ? ", bias" : "", fused(k).relu ? ", relu" : "");
  const memory::desc weights = sites_[k].weight.get_desc();
  const bool faster = choice_.winograd(
      what, [&] { return seconds(*winograd, weights) < seconds(direct, weights); });
  return faster ? *winograd : direct;
}

void Planner::forward(std::size_t k, const Convolution& op) {
  const memory::dims dims = {dim(out(k).channels), dim(in(k).channels), dim(op.kernel),
                             dim(op.kernel)};
  const memory::dims strides(2, dim(op.stride)), padding(2, dim(op.padding));
  const memory::desc src = f32(dimensions(options_.batch, in(k)), Tag::any);
  const memory::desc dst = f32(dimensions(options_.batch, out(k)), Tag::any);
  Site& site = sites_[k];
  site.weight = flat(plan_->parameters, operation(k).weight, f32(dims, Tag::ohwi));
  site.convolution = fastest(k, "forward", [&](dnnl::algorithm algorithm) {
    const memory::desc weights = f32(dims, Tag::any);
    const auto description =
        op.bias ? dnnl::convolution_forward::desc(direction(), algorithm, src, weights,
                                                  f32({dims[0]}, Tag::a), dst, strides, padding,
                                                  padding)
                : dnnl::convolution_forward::desc(direction(), algorithm, src, weights, dst,
                                                  strides, padding, padding);
    return dnnl::convolution_forward::primitive_desc(
        description, attributes(fused(k).relu.has_value()), engine_);
  });
  run_forward(k, *site.convolution);
}

void Planner::backward(std::size_t k, const Convolution& op) {
  const memory::dims strides(2, dim(op.stride)), padding(2, dim(op.padding));
  const memory::desc src = f32(dimensions(options_.batch, in(k)), Tag::any);
  const memory::desc dst = f32(dimensions(options_.batch, out(k)), Tag::any);
  const memory::dims dims = sites_[k].weight.get_desc().dims();
  const memory::desc weights = f32(dims, Tag::any);
  const auto& hint = *sites_[k].convolution;
  const auto to_weights = fastest(k, "backward weights", [&](dnnl::algorithm algorithm) {
    const auto description = op.bias ? dnnl::convolution_backward_weights::desc(
                                           algorithm, src, weights, f32({dims[0]}, Tag::a), dst,
                                           strides, padding, padding)
                                     : dnnl::convolution_backward_weights::desc(
                                           algorithm, src, weights, dst, strides, padding, padding);
    return dnnl::convolution_backward_weights::primitive_desc(description, attributes(), engine_,
                                                              hint);
  });
  const Part dy = gradient_before_relu(k, to_weights.diff_dst_desc());
  run_backward_weights(k, to_weights, dy.value);
  if (!learned_input(k)) return;
  const auto to_data = fastest(k, "backward data", [&](dnnl::algorithm algorithm) {
    return dnnl::convolution_backward_data::primitive_desc(
        {algorithm, src, weights, dst, strides, padding, padding}, attributes(), engine_, hint);
  });
  run_backward_data(k, to_data, dy.value);
}

// Plain formats on purpose: the weights are then used where they lie in the flat vector, and
// their gradient is written there. Blocked ones gain less than their reorders cost.
void Planner::forward(std::size_t k, const Linear&) {
  const memory::desc src = plain(input(k).get_desc());
  Site& site = sites_[k];
  memory::dims weights = src.dims();
  weights[0] = dim(out(k).count());
  site.weight = flat(plan_->parameters, operation(k).weight,
                     f32(weights, weights.size() == 4 ? Tag::ohwi : Tag::oi));
  const dnnl::inner_product_forward::desc description(direction(), src, site.weight.get_desc(),
                                                      f32({weights[0]}, Tag::a),
                                                      f32({src.dims()[0], weights[0]}, Tag::nc));
  site.linear.emplace(description, attributes(fused(k).relu.has_value()), engine_);
  run_forward(k, *site.linear);
}

void Planner::backward(std::size_t k, const Linear&) {
  const memory::desc src = plain(input(k).get_desc()), dst = output(k).get_desc();
  const memory::desc weights = sites_[k].weight.get_desc();
  const auto& hint = *sites_[k].linear;
  const Part dy = gradient_before_relu(k, dst);
  run_backward_weights(
      k,
      dnnl::inner_product_backward_weights::primitive_desc(
          {src, weights, f32({dst.dims()[1]}, Tag::a), dst}, attributes(), engine_, hint),
      dy.value);
  if (!learned_input(k)) return;
  run_backward_data(k,
                    dnnl::inner_product_backward_data::primitive_desc({src, weights, dst},
                                                                      attributes(), engine_, hint),
                    dy.value);
}

Planner::Part Planner::gradient_before_relu(std::size_t k, const memory::desc& wanted) {
  if (!fused(k).relu || sites_[k].masked) return gradient(k, fused(k).output, wanted);
  const Part dz = masked(k, gradient(k, fused(k).output, output(k).get_desc()), output(k));
  if (dz.value.get_desc() == wanted) return dz;
  const Part copy{plan_->arena.place(wanted)};
  reorder(k, dz.value, copy.value, plan_->backward);
  return copy;
}

void Planner::run_forward(std::size_t k, const dnnl::primitive_desc& pd) {
  Steps& steps = plan_->forward;
  Arguments arguments = {
      {DNNL_ARG_SRC, as(k, input(k), tensor(pd, DNNL_ARG_SRC), steps)},
      {DNNL_ARG_WEIGHTS, as(k, sites_[k].weight, tensor(pd, DNNL_ARG_WEIGHTS), steps)}};
  if (const memory::desc bias = tensor(pd, DNNL_ARG_BIAS); bias.get_size() > 0)
    arguments.emplace_back(DNNL_ARG_BIAS, flat(plan_->parameters, operation(k).bias, bias));
  output(k) = plan_->arena.place(tensor(pd, DNNL_ARG_DST));
  arguments.emplace_back(DNNL_ARG_DST, output(k));
  add(steps, dnnl::primitive(pd), pd.scratchpad_desc(), std::move(arguments),
      work(k, "forward", pd));
}

void Planner::run_backward_weights(std::size_t k, const dnnl::primitive_desc& pd,
                                   const memory& dy) {
  Steps& steps = plan_->backward;
  const memory gradient = flat(plan_->gradients, operation(k).weight, sites_[k].weight.get_desc());
  const memory::desc produced_desc = tensor(pd, DNNL_ARG_DIFF_WEIGHTS);
  const bool in_place = produced_desc == gradient.get_desc();
  const memory produced = in_place ? gradient : plan_->arena.place(produced_desc);
  Arguments arguments = {{DNNL_ARG_SRC, as(k, input(k), tensor(pd, DNNL_ARG_SRC), steps)},
                         {DNNL_ARG_DIFF_DST, dy},
                         {DNNL_ARG_DIFF_WEIGHTS, produced}};
  if (const memory::desc bias = tensor(pd, DNNL_ARG_DIFF_BIAS); bias.get_size() > 0)
    arguments.emplace_back(DNNL_ARG_DIFF_BIAS, flat(plan_->gradients, operation(k).bias, bias));
  add(steps, dnnl::primitive(pd), pd.scratchpad_desc(), std::move(arguments),
      work(k, "backward weights", pd));
  if (!in_place) reorder(k, produced, gradient, steps);
}

void Planner::run_backward_data(std::size_t k, const dnnl::primitive_desc& pd, const memory& dy) {
  Steps& steps = plan_->backward;
  const memory dx = plan_->arena.place(tensor(pd, DNNL_ARG_DIFF_SRC));
  const memory weights = as(k, sites_[k].weight, tensor(pd, DNNL_ARG_WEIGHTS), steps);
  memory from = dy;
  if (const memory::desc wanted = tensor(pd, DNNL_ARG_DIFF_DST); wanted != dy.get_desc()) {
    from = plan_->arena.place(wanted);
    reorder(k, dy, from, steps);
  }
  add(steps, dnnl::primitive(pd), pd.scratchpad_desc(),
      {{DNNL_ARG_DIFF_DST, from}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DIFF_SRC, dx}},
      work(k, "backward data", pd));
  contribute(operation(k).input, dx);
}

}  // namespace paceline
