// Operations with weights: convolutions and linear layers.
#include <algorithm>
#include <array>

#include "paceline/compute/cpu/formats_internal.h"
#include "paceline/compute/cpu/mirror_internal.h"
#include "paceline/compute/cpu/planner_internal.h"
#include "paceline/compute/cpu/planner_trial_internal.h"

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

double Planner::flops(std::size_t k) const {
  const std::size_t weights = parameter_counts(operation(k).kind, in(k), out(k)).weight;
  return 2.0 * static_cast<double>(options_.batch * weights * out(k).height * out(k).width);
}

Planner::Work Planner::work(std::size_t k, const char* pass, const std::string& how,
                            const dnnl::primitive_desc& pd) const {
  Work work{.operation = k, .pass = pass, .how = how + pd.impl_info_str(), .flops = flops(k)};
  for (const int which : kTensors) work.bytes += static_cast<double>(tensor(pd, which).get_size());
  return work;
}

Planner::Work Planner::winograd_work(std::size_t k, const char* pass, const Way& way) const {
  const ParameterCounts counts = parameter_counts(operation(k).kind, in(k), out(k));
  return {.operation = k,
          .pass = pass,
          .how = fmt::format("winograd, {0}tiles of {1}x{1}",
                             way.tiling->role == winograd::Role::scattered ? "scattered " : "",
                             way.tiling->side),
          .flops = flops(k),
          .bytes = static_cast<double>(way.from.get_size() + way.to.get_size() +
                                       sizeof(float) * (counts.weight + counts.bias))};
}

namespace {

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
constexpr auto kForward = dnnl::prop_kind::forward_training;

/// Whether a pass can be turned round; padding beyond the kernel cannot.
bool has_mirror(const Convolution& op) { return op.stride == 1 && op.padding < op.kernel; }

}  // namespace

Planner::Way Planner::by_primitive(std::string name, dnnl::primitive_desc pd, int from, int to,
                                   bool mirrored) {
  return {std::move(name), tensor(pd, from), tensor(pd, to), pd, from, to, mirrored, {}};
}

void Planner::add_winograd(std::vector<Way>& ways, std::optional<winograd::Tiling> tiling) {
  if (tiling) ways.push_back({kWinograd, ways[0].from, ways[0].to, {}, 0, 0, false, tiling});
}

std::vector<Planner::Way> Planner::ways_forward(std::size_t k) {
  const Convolution& op = std::get<Convolution>(operation(k).kind);
  const auto describe = [&](const Words& w, bool bias, bool relu) {
    using Desc = dnnl::convolution_forward::desc;
    return dnnl::convolution_forward::primitive_desc(
        bias ? Desc(kForward, kDirectly, w.src, w.weights, w.bias, w.dst, w.strides, w.padding,
                    w.padding)
             : Desc(kForward, kDirectly, w.src, w.weights, w.dst, w.strides, w.padding, w.padding),
        attributes(relu), engine_);
  };
  const bool relu = fused(k).relu.has_value();
  sites_[k].convolution = describe(Words(op, options_.batch, in(k), out(k), false), op.bias, relu);
  std::vector<Way> ways = {
      by_primitive(kDirect, *sites_[k].convolution, DNNL_ARG_SRC, DNNL_ARG_DST)};
  add_winograd(ways, winograd_tiling(winograd::Role::forward, op, ways[0].from, ways[0].to));
  if (has_mirror(op) && !op.bias && !relu)
    where_possible([&] {
      const Words w(op, options_.batch, in(k), out(k), true);
      const dnnl::convolution_backward_data::primitive_desc pd(
          {kDirectly, w.src, w.weights, w.dst, w.strides, w.padding, w.padding}, attributes(),
          engine_, describe(w, false, false));
      ways.push_back(by_primitive(kMirrored, pd, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC, true));
    });
  return ways;
}

std::vector<Planner::Way> Planner::ways_to_data(std::size_t k) {
  const Convolution& op = std::get<Convolution>(operation(k).kind);
  const Words words(op, options_.batch, in(k), out(k), false);
  const dnnl::convolution_backward_data::primitive_desc direct(
      {kDirectly, words.src, words.weights, words.dst, words.strides, words.padding, words.padding},
      attributes(), engine_, *sites_[k].convolution);
  std::vector<Way> ways = {by_primitive(kDirect, direct, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC)};
  add_winograd(ways, winograd_tiling_back(op, ways[0].from, ways[0].to));
  if (has_mirror(op))
    where_possible([&] {
      const Words w(op, options_.batch, in(k), out(k), true);
      const dnnl::convolution_forward::primitive_desc pd(
          {kForward, kDirectly, w.src, w.weights, w.dst, w.strides, w.padding, w.padding},
          attributes(), engine_);
      ways.push_back(by_primitive(kMirrored, pd, DNNL_ARG_SRC, DNNL_ARG_DST, true));
    });
  return ways;
}

std::vector<Planner::Way> Planner::ways_to_weights(std::size_t k) {
  const Convolution& op = std::get<Convolution>(operation(k).kind);
  const Words w(op, options_.batch, in(k), out(k), false);
  using Desc = dnnl::convolution_backward_weights::desc;
  const dnnl::convolution_backward_weights::primitive_desc direct(
      op.bias ? Desc(kDirectly, w.src, w.weights, w.bias, w.dst, w.strides, w.padding, w.padding)
              : Desc(kDirectly, w.src, w.weights, w.dst, w.strides, w.padding, w.padding),
      attributes(), engine_, *sites_[k].convolution);
  std::vector<Way> ways = {by_primitive(kDirect, direct, DNNL_ARG_SRC, DNNL_ARG_DIFF_DST)};
  add_winograd(ways, winograd_tiling(winograd::Role::forward, op, ways[0].from, ways[0].to));
  return ways;
}

const Planner::Way& Planner::choose(std::size_t k, const char* pass, const std::vector<Way>& ways,
                                    const Emit& emit) {
  std::vector<std::string> names;
  std::vector<const Way*> equal;  // in the formats that they want
  for (const Way& way : ways)
    if (way.from == ways[0].from && way.to == ways[0].to) {
      names.push_back(way.name);
      equal.push_back(&way);
    }
  std::string name = convolution_;
  if (name.empty() && !options_.deterministic && names.size() > 1 && flops(k) > kWorthTiming) {
    std::vector<std::unique_ptr<Trial>> trials(names.size());
    name = choice_.fastest(describe(k, pass), names, [&](std::size_t n) {
      if (!trials[n]) trials[n] = std::make_unique<Trial>(*this, k, *equal[n], emit);
      return trials[n]->seconds();
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
  const std::vector<Way> ways = ways_forward(k);
  const auto emit = [&](const Way& way, const memory& from) {
    return run(k, "forward", way, from, plan_->forward);
  };
  const Way& way = choose(k, "forward", ways, emit);
  output(k) = emit(way, as(k, input(k), way.from, plan_->forward));
}

void Planner::backward(std::size_t k, const Convolution&) {
  const std::vector<Way> weight_ways = ways_to_weights(k);
  const Way& to_weights =
      choose(k, "backward weights", weight_ways, [&](const Way& way, const memory& src) {
        run_backward_weights(k, way, src, plan_->arena.place(way.to));
      });
  const memory dy = gradient_before_relu(k, to_weights.to).value;
  run_backward_weights(k, to_weights, as(k, input(k), to_weights.from, plan_->backward), dy);
  if (!learned_input(k)) return;
  const std::vector<Way> data_ways = ways_to_data(k);
  const auto emit = [&](const Way& way, const memory& from) {
    return run(k, "backward data", way, from, plan_->backward);
  };
  const Way& to_data = choose(k, "backward data", data_ways, emit);
  contribute(operation(k).input, emit(to_data, in_format(k, {dy}, to_data.from).value));
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
  const Way way = by_primitive("", *site.linear, DNNL_ARG_SRC, DNNL_ARG_DST);
  output(k) = run(k, "forward", way, as(k, input(k), src, plan_->forward), plan_->forward);
}

void Planner::backward(std::size_t k, const Linear&) {
  const memory::desc src = plain(input(k).get_desc()), dst = output(k).get_desc();
  const memory::desc weights = sites_[k].weight.get_desc();
  const auto& hint = *sites_[k].linear;
  const Part dy = gradient_before_relu(k, dst);
  const dnnl::inner_product_backward_weights::primitive_desc to_weights(
      {src, weights, f32({dst.dims()[1]}, Tag::a), dst}, attributes(), engine_, hint);
  run_backward_weights(k, by_primitive("", to_weights, DNNL_ARG_SRC, DNNL_ARG_DIFF_DST),
                       as(k, input(k), src, plan_->backward), dy.value);
  if (!learned_input(k)) return;
  const dnnl::inner_product_backward_data::primitive_desc to_data({src, weights, dst}, attributes(),
                                                                  engine_, hint);
  const Way way = by_primitive("", to_data, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC);
  contribute(operation(k).input, run(k, "backward data", way, dy.value, plan_->backward));
}

Planner::Part Planner::gradient_before_relu(std::size_t k, const memory::desc& wanted) {
  if (!fused(k).relu || sites_[k].masked) return gradient(k, fused(k).output, wanted);
  Part dz = masked(k, gradient(k, fused(k).output, output(k).get_desc()), output(k));
  return in_format(k, std::move(dz), wanted);
}

Planner::memory Planner::run(std::size_t k, const char* pass, const Way& way, const memory& from,
                             Steps& steps) {
  const memory to = plan_->arena.place(way.to);
  if (way.tiling) {
    const memory scratch =
        plan_->arena.place(WinogradConvolution::scratch_desc(*way.tiling, threads_));
    const bool forwards = way.tiling->role == winograd::Role::forward;
    add(steps,
        std::make_unique<WinogradConvolution>(*way.tiling, offsets(k, forwards),
                                              forwards && fused(k).relu, from, to, scratch),
        {from, to, scratch}, winograd_work(k, pass, way));
    return to;
  }
  const memory weight = way.mirrored ? mirrored_weight(k, steps) : sites_[k].weight;
  Arguments arguments = {{way.from_word, from},
                         {DNNL_ARG_WEIGHTS, as(k, weight, tensor(way.pd, DNNL_ARG_WEIGHTS), steps)},
                         {way.to_word, to}};
  if (const memory::desc bias = tensor(way.pd, DNNL_ARG_BIAS); bias.get_size() > 0)
    arguments.emplace_back(DNNL_ARG_BIAS, flat(plan_->parameters, operation(k).bias, bias));
  add(steps, dnnl::primitive(way.pd), way.pd.scratchpad_desc(), std::move(arguments),
      work(k, pass, way.mirrored ? "mirrored " : "", way.pd));
  return to;
}

FlatOffsets Planner::offsets(std::size_t k, bool with_bias) const {
  FlatOffsets offsets{operation(k).weight, std::nullopt};
  if (with_bias && std::get<Convolution>(operation(k).kind).bias) offsets.bias = operation(k).bias;
  return offsets;
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

void Planner::run_backward_weights(std::size_t k, const Way& way, const memory& src,
                                   const memory& dy) {
  Steps& steps = plan_->backward;
  if (way.tiling) {
    const memory scratch =
        plan_->arena.place(WinogradWeightGradient::scratch_desc(*way.tiling, threads_));
    add(steps,
        std::make_unique<WinogradWeightGradient>(*way.tiling, offsets(k, true), src, dy, scratch),
        {src, dy, scratch}, winograd_work(k, "backward weights", way));
    return;
  }
  const memory gradient = flat(plan_->gradients, operation(k).weight, sites_[k].weight.get_desc());
  const memory::desc produced_desc = tensor(way.pd, DNNL_ARG_DIFF_WEIGHTS);
  const bool in_place = produced_desc == gradient.get_desc();
  const memory produced = in_place ? gradient : plan_->arena.place(produced_desc);
  Arguments arguments = {
      {way.from_word, src}, {way.to_word, dy}, {DNNL_ARG_DIFF_WEIGHTS, produced}};
  if (const memory::desc bias = tensor(way.pd, DNNL_ARG_DIFF_BIAS); bias.get_size() > 0)
    arguments.emplace_back(DNNL_ARG_DIFF_BIAS, flat(plan_->gradients, operation(k).bias, bias));
  add(steps, dnnl::primitive(way.pd), way.pd.scratchpad_desc(), std::move(arguments),
      work(k, "backward weights", "", way.pd));
  if (!in_place) reorder(k, produced, gradient, steps);
}

}  // namespace paceline
