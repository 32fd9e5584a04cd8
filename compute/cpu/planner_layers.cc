// Operations with weights: convolutions and linear layers.
#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <unordered_map>

#include "paceline/compute/cpu/formats_internal.h"
#include "paceline/compute/cpu/mirror_internal.h"
#include "paceline/compute/cpu/planner_internal.h"

namespace paceline {
namespace {

/// Smaller passes are not worth the time of trying: they run directly.
constexpr double kWorthTiming = 1e7;  // floating-point operations

constexpr std::array kTensors = {DNNL_ARG_SRC,       DNNL_ARG_WEIGHTS,  DNNL_ARG_BIAS,
                                 DNNL_ARG_DST,       DNNL_ARG_DIFF_SRC, DNNL_ARG_DIFF_WEIGHTS,
                                 DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST};

dnnl::memory::desc tensor(const dnnl::primitive_desc& pd, int which) {
  return pd.query_md(dnnl::query::exec_arg_md, which);
}

}  // namespace

Planner::Work Planner::work(std::size_t k, const char* pass, const std::string& how,
                            const dnnl::primitive_desc& pd) const {
  Work work{.operation = k, .pass = pass, .how = how + pd.impl_info_str()};
  const std::size_t weights = parameter_counts(operation(k).kind, in(k), out(k)).weight;
  work.flops = 2.0 * static_cast<double>(options_.batch * weights * out(k).height * out(k).width);
  for (const int which : kTensors) work.bytes += static_cast<double>(tensor(pd, which).get_size());
  return work;
}

namespace {

/// A pass with memory of its own, to be timed with the reorder of its weights, or of their gradient.
class TimedPass {
 public:
  TimedPass(const dnnl::engine& engine, const dnnl::primitive_desc& pd,
            const dnnl::memory::desc& weights)
      : stream_(engine), primitive_(pd), ours_(make(engine, weights)) {
    for (const int which : kTensors)
      if (const dnnl::memory::desc desc = tensor(pd, which); desc.get_size() > 0)
        arguments_.emplace(which, make(engine, desc));
    if (pd.scratchpad_desc().get_size() > 0)
      arguments_.emplace(DNNL_ARG_SCRATCHPAD, make(engine, pd.scratchpad_desc()));
    to_weights_ = arguments_.contains(DNNL_ARG_DIFF_WEIGHTS);
    theirs_ = arguments_.at(to_weights_ ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS);
    reorder_ = to_weights_ ? dnnl::reorder(theirs_, ours_) : dnnl::reorder(ours_, theirs_);
  }
  double seconds() {
    const auto start = std::chrono::steady_clock::now();
    if (!to_weights_) reorder_.execute(stream_, ours_, theirs_);
    primitive_.execute(stream_, arguments_);
    if (to_weights_) reorder_.execute(stream_, theirs_, ours_);
    stream_.wait();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  /// Pages that exist, numbers that are not denormal.
  static dnnl::memory make(const dnnl::engine& engine, const dnnl::memory::desc& desc) {
    dnnl::memory m(desc, engine);
    std::fill_n(static_cast<std::byte*>(m.get_data_handle()), desc.get_size(), std::byte{});
    return m;
  }
  dnnl::stream stream_;
  dnnl::primitive primitive_;
  dnnl::memory ours_, theirs_;
  std::unordered_map<int, dnnl::memory> arguments_;
  dnnl::reorder reorder_;
  bool to_weights_ = false;
};

/// A convolution in oneDNN's words; or, mirrored, the one of which its passes are the opposite ones.
struct Words {
  Words(const Convolution& op, std::size_t images, const Shape& in, const Shape& out, bool mirrored)
      : src(f32(dimensions(images, mirrored ? out : in), Tag::any)),
        dst(f32(dimensions(images, mirrored ? in : out), Tag::any)),
        weights(f32({dst.dims()[1], src.dims()[1], dim(op.kernel), dim(op.kernel)}, Tag::any)),
        bias(f32({dst.dims()[1]}, Tag::a)),
        strides(2, dim(op.stride)),
        padding(2, dim(mirrored ? op.kernel - 1 - op.padding : op.padding)) {}
  dnnl::memory::desc src, dst, weights, bias;
  dnnl::memory::dims strides, padding;
};

/// Runs `make`, which oneDNN may refuse.
template <class Make>
void where_possible(Make make) {
  try {
    make();
  } catch (const dnnl::error&) {  // no such thing for this shape or processor
  }
}

constexpr auto kDirectly = dnnl::algorithm::convolution_direct;
// For inference Winograd's weights would be in a format that only its own reorder can make.
constexpr auto kForward = dnnl::prop_kind::forward_training;
constexpr auto kByWinograd = dnnl::algorithm::convolution_winograd;

/// Whether a pass can be turned round; padding beyond the kernel cannot.
bool has_mirror(const Convolution& op) { return op.stride == 1 && op.padding < op.kernel; }

}  // namespace

std::vector<Planner::Way> Planner::forward_ways(std::size_t k) {
  const Convolution& op = std::get<Convolution>(operation(k).kind);
  const Words words(op, options_.batch, in(k), out(k), false);
  const auto describe = [&](const Words& w, dnnl::algorithm algorithm, bool bias, bool relu) {
    using Desc = dnnl::convolution_forward::desc;
    return dnnl::convolution_forward::primitive_desc(
        bias ? Desc(kForward, algorithm, w.src, w.weights, w.bias, w.dst, w.strides, w.padding,
                    w.padding)
             : Desc(kForward, algorithm, w.src, w.weights, w.dst, w.strides, w.padding, w.padding),
        attributes(relu), engine_);
  };
  const bool relu = fused(k).relu.has_value();
  sites_[k].convolution = describe(words, kDirectly, op.bias, relu);
  std::vector<Way> ways = {{kDirect, *sites_[k].convolution, DNNL_ARG_SRC, DNNL_ARG_DST}};
  where_possible([&] {
    ways.push_back(
        {kWinograd, describe(words, kByWinograd, op.bias, relu), DNNL_ARG_SRC, DNNL_ARG_DST});
  });
  if (has_mirror(op) && !op.bias && !relu)
    where_possible([&] {
      const Words w(op, options_.batch, in(k), out(k), true);
      const dnnl::convolution_backward_data::primitive_desc pd(
          {kDirectly, w.src, w.weights, w.dst, w.strides, w.padding, w.padding}, attributes(),
          engine_, describe(w, kDirectly, false, false));
      ways.push_back({kMirrored, pd, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC, true});
    });
  return ways;
}

std::vector<Planner::Way> Planner::backward_ways(std::size_t k) {
  const Convolution& op = std::get<Convolution>(operation(k).kind);
  const auto describe = [&](dnnl::algorithm algorithm) {
    const Words w(op, options_.batch, in(k), out(k), false);
    return dnnl::convolution_backward_data::primitive_desc(
        {algorithm, w.src, w.weights, w.dst, w.strides, w.padding, w.padding}, attributes(),
        engine_, *sites_[k].convolution);
  };
  std::vector<Way> ways = {{kDirect, describe(kDirectly), DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC}};
  where_possible([&] {
    ways.push_back({kWinograd, describe(kByWinograd), DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC});
  });
  if (has_mirror(op))
    where_possible([&] {
      const Words w(op, options_.batch, in(k), out(k), true);
      const dnnl::convolution_forward::primitive_desc pd(
          {kForward, kDirectly, w.src, w.weights, w.dst, w.strides, w.padding, w.padding},
          attributes(), engine_);
      ways.push_back({kMirrored, pd, DNNL_ARG_SRC, DNNL_ARG_DST, true});
    });
  return ways;
}

const Planner::Way& Planner::choose(std::size_t k, const char* pass, const std::vector<Way>& ways) {
  std::vector<std::string> names;
  std::vector<const Way*> equal;  // in the formats that they want
  for (const Way& way : ways)
    if (tensor(way.pd, way.from) == tensor(ways[0].pd, ways[0].from) &&
        tensor(way.pd, way.to) == tensor(ways[0].pd, ways[0].to)) {
      names.push_back(way.name);
      equal.push_back(&way);
    }
  std::string name = convolution_;
  if (name.empty() && !options_.deterministic && names.size() > 1 &&
      work(k, pass, "", ways[0].pd).flops > kWorthTiming) {
    std::vector<std::unique_ptr<TimedPass>> passes(names.size());
    name = choice_.fastest(describe(k, pass), names, [&](std::size_t n) {
      try {
        if (!passes[n])
          passes[n] = std::make_unique<TimedPass>(
              engine_, equal[n]->pd,
              equal[n]->mirrored ? mirrored_desc(k) : sites_[k].weight.get_desc());
        return passes[n]->seconds();
      } catch (const dnnl::error&) {  // no memory for all of them at once
        return std::numeric_limits<double>::max();
      }
    });
  }
  const auto found = std::ranges::find(names, name);
  return *equal[found == names.end() ? 0 : static_cast<std::size_t>(found - names.begin())];
}

std::string Planner::describe(std::size_t k, const char* pass) const {
  const Convolution& op = std::get<Convolution>(operation(k).kind);
  const Shape &i = in(k), &o = out(k);
  return fmt::format("{}: {} images, {}x{}x{} to {}x{}x{}, kernel {}, stride {}, padding {}{}{}",
                     pass, options_.batch, i.channels, i.height, i.width, o.channels, o.height,
                     o.width, op.kernel, op.stride, op.padding, op.bias ? ", bias" : "",
                     fused(k).relu ? ", relu" : "");
}

void Planner::forward(std::size_t k, const Convolution& op) {
  sites_[k].weight = flat(
      plan_->parameters, operation(k).weight,
      f32({dim(out(k).channels), dim(in(k).channels), dim(op.kernel), dim(op.kernel)}, Tag::ohwi));
  const std::vector<Way> ways = forward_ways(k);
  const Way& way = choose(k, "forward", ways);
  const memory from = as(k, input(k), tensor(way.pd, way.from), plan_->forward);
  output(k) = run(k, "forward", way, from, plan_->forward);
}

void Planner::backward(std::size_t k, const Convolution& op) {
  const Words w(op, options_.batch, in(k), out(k), false);
  std::vector<Way> ways;
  const auto describe_weights = [&](dnnl::algorithm algorithm) {
    using Desc = dnnl::convolution_backward_weights::desc;
    return dnnl::convolution_backward_weights::primitive_desc(
        op.bias ? Desc(algorithm, w.src, w.weights, w.bias, w.dst, w.strides, w.padding, w.padding)
                : Desc(algorithm, w.src, w.weights, w.dst, w.strides, w.padding, w.padding),
        attributes(), engine_, *sites_[k].convolution);
  };
  ways.push_back({kDirect, describe_weights(kDirectly), DNNL_ARG_SRC, DNNL_ARG_DIFF_DST});
  where_possible([&] {
    ways.push_back({kWinograd, describe_weights(kByWinograd), DNNL_ARG_SRC, DNNL_ARG_DIFF_DST});
  });
  const Way& to_weights = choose(k, "backward weights", ways);
  const memory dy = gradient_before_relu(k, tensor(to_weights.pd, to_weights.to)).value;
  run_backward_weights(k, to_weights.pd, dy);
  if (!learned_input(k)) return;
  const std::vector<Way> data_ways = backward_ways(k);
  const Way& to_data = choose(k, "backward data", data_ways);
  const memory from = in_format(k, {dy}, tensor(to_data.pd, to_data.from)).value;
  contribute(operation(k).input, run(k, "backward data", to_data, from, plan_->backward));
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
  const Way way{"", *site.linear, DNNL_ARG_SRC, DNNL_ARG_DST};
  output(k) = run(k, "forward", way, as(k, input(k), src, plan_->forward), plan_->forward);
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
  const dnnl::inner_product_backward_data::primitive_desc to_data({src, weights, dst}, attributes(),
                                                                  engine_, hint);
  const Way way{"", to_data, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC};
  contribute(operation(k).input, run(k, "backward data", way, dy.value, plan_->backward));
}

Planner::Part Planner::gradient_before_relu(std::size_t k, const memory::desc& wanted) {
  if (!fused(k).relu || sites_[k].masked) return gradient(k, fused(k).output, wanted);
  Part dz = masked(k, gradient(k, fused(k).output, output(k).get_desc()), output(k));
  return in_format(k, std::move(dz), wanted);
}

Planner::memory Planner::run(std::size_t k, const char* pass, const Way& way, const memory& from,
                             Steps& steps) {
  const memory weight = way.mirrored ? mirrored_weight(k, steps) : sites_[k].weight;
  Arguments arguments = {
      {way.from, from}, {DNNL_ARG_WEIGHTS, as(k, weight, tensor(way.pd, DNNL_ARG_WEIGHTS), steps)}};
  if (const memory::desc bias = tensor(way.pd, DNNL_ARG_BIAS); bias.get_size() > 0)
    arguments.emplace_back(DNNL_ARG_BIAS, flat(plan_->parameters, operation(k).bias, bias));
  const memory to = plan_->arena.place(tensor(way.pd, way.to));
  arguments.emplace_back(way.to, to);
  add(steps, dnnl::primitive(way.pd), way.pd.scratchpad_desc(), std::move(arguments),
      work(k, pass, way.mirrored ? "mirrored " : "", way.pd));
  return to;
}

dnnl::memory::desc Planner::mirrored_desc(std::size_t k) const {
  memory::dims dims = sites_[k].weight.get_desc().dims();
  std::swap(dims[0], dims[1]);
  return f32(dims, Tag::hwio);
}

Planner::memory Planner::mirrored_weight(std::size_t k, Steps& steps) {
  memory& mirrored = sites_[k].mirrored_weight;
  if (mirrored) return mirrored;
  mirrored = plan_->arena.place(mirrored_desc(k));
  add(steps, std::make_unique<MirrorStep>(operation(k).weight, mirrored), {mirrored},
      {.operation = k,
       .pass = &steps == &plan_->forward ? "forward" : "backward",
       .how = "reorder"});
  return mirrored;
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
      work(k, "backward weights", "", pd));
  if (!in_place) reorder(k, produced, gradient, steps);
}

}  // namespace paceline
