#include "paceline/compute/cpu/plan_internal.h"

#include <algorithm>
#include <optional>

namespace paceline {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Arguments = std::vector<std::pair<int, memory>>;
using Steps = std::vector<std::unique_ptr<Step>>;

memory::desc f32(const memory::dims& dims, Tag tag) { return {dims, memory::data_type::f32, tag}; }
memory::dim dim(std::size_t count) { return static_cast<memory::dim>(count); }
/// The canonical layout: N,H,W,C, or N,C once a linear layer has flattened it.
memory::desc plain(const memory::desc& desc) {
  return f32(desc.dims(), desc.dims().size() == 4 ? Tag::nhwc : Tag::nc);
}
/// Each primitive has attributes of its own: copies of an attribute share one handle.
dnnl::primitive_attr attributes(bool then_relu = false) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (then_relu) {
    dnnl::post_ops ops;
    ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    attr.set_post_ops(ops);
  }
  return attr;
}

/// Walks the operations forwards, then backwards, and writes the lists. May throw dnnl::error.
class Planner {
 public:
  Planner(const Program& program, const CompileOptions& options, const dnnl::engine& engine)
      : program_(program),
        options_(options),
        engine_(engine),
        plan_(std::make_unique<Plan>(engine)),
        values_(program.activations.size()),
        gradients_(program.activations.size()),
        sites_(program.operations.size()),
        readers_(program.activations.size()),
        writers_(program.activations.size()) {}

  Result<std::unique_ptr<Plan>> run() && {
    PACELINE_TRYV(find_neighbours());
    PACELINE_TRYV(find_gaps());
    const Shape& image = program_.activations.front();
    const memory::desc images = f32(
        {dim(options_.batch), dim(image.channels), dim(image.height), dim(image.width)}, Tag::nhwc);
    plan_->images = values_[0] = memory(images, engine_, DNNL_MEMORY_NONE);
    plan_->staging = plan_->arena.place(images);
    const std::size_t loss = program_.operations.size() - 1;
    for (std::size_t k = 0; k < loss; ++k)
      std::visit([&](const auto& kind) { forward(k, kind); }, program_.operations[k].kind);
    const std::size_t logits = program_.operations[loss].input;
    plan_->logits = as(values_[logits], plain(values_[logits].get_desc()), plan_->forward);
    if (options_.training) {
      plan_->dlogits = gradients_[logits] = plan_->arena.place(plan_->logits.get_desc());
      for (std::size_t k = loss; k-- > first_with_parameters();)
        std::visit([&](const auto& kind) { backward(k, kind); }, program_.operations[k].kind);
    }
    PACELINE_TRYV(plan_->arena.commit());
    return std::move(plan_);
  }

 private:
  /// What an operation's way back needs of its way there.
  struct Site {
    std::optional<dnnl::convolution_forward::primitive_desc> convolution;
    std::optional<dnnl::inner_product_forward::primitive_desc> linear;
    std::optional<dnnl::pooling_forward::primitive_desc> pool;
    memory weight, workspace;
    bool done = false;    // a ReLU that is part of the operation before it
    bool masked = false;  // a ReLU whose gradient the pool after it has masked
  };

  const Shape& in(std::size_t k) const { return program_.activations[operation(k).input]; }
  const Shape& out(std::size_t k) const { return program_.activations[operation(k).output]; }
  const Operation& operation(std::size_t k) const { return program_.operations[k]; }
  memory& input(std::size_t k) { return values_[operation(k).input]; }
  memory& output(std::size_t k) { return values_[operation(k).output]; }
  memory& input_gradient(std::size_t k) { return gradients_[operation(k).input]; }
  memory& output_gradient(std::size_t k) { return gradients_[operation(k).output]; }
  dnnl::prop_kind direction() const {
    return options_.training ? dnnl::prop_kind::forward_training
                             : dnnl::prop_kind::forward_inference;
  }
  std::size_t first_with_parameters() const {
    std::size_t k = 0;
    while (k + 1 < program_.operations.size() &&
           parameter_counts(operation(k).kind, in(k), out(k)).weight == 0)
      ++k;
    return k;
  }

  /// The operations that write and read each activation: one reader, since gradients are not
  /// summed here.
  Result<> find_neighbours() {
    for (std::size_t k = 0; k < program_.operations.size(); ++k) {
      std::optional<std::size_t>& reader = readers_[operation(k).input];
      if (reader)
        return fail(std::errc::not_supported,
                    "\"{}\" and \"{}\" read one activation: the device "
                    "cpu runs chains only",
                    operation(*reader).name, operation(k).name);
      reader = k;
      if (k + 1 < program_.operations.size()) writers_[operation(k).output] = k;
    }
    return success();
  }

  /// What the backward pass does not write of the gradient.
  Result<> find_gaps() {
    std::vector<Gap> tensors;
    for (std::size_t k = 0; k + 1 < program_.operations.size(); ++k) {
      const ParameterCounts counts = parameter_counts(operation(k).kind, in(k), out(k));
      if (counts.weight == 0) continue;
      tensors.push_back({operation(k).weight, operation(k).weight + counts.weight});
      tensors.push_back({operation(k).bias, operation(k).bias + counts.bias});
    }
    tensors.push_back({program_.parameter_elements, program_.parameter_elements});
    std::ranges::sort(tensors, {}, &Gap::first);
    std::size_t end = 0;
    for (const Gap& tensor : tensors) {
      if (tensor.first < end)
        return fail(std::errc::not_supported,
                    "parameter tensors overlap at element {} of the flat "
                    "vector",
                    tensor.first);
      if (tensor.first > end) plan_->gaps.push_back({end, tensor.first});
      end = tensor.last;
    }
    return success();
  }

  /// Whether a ReLU reads what operation k writes; if so it is marked as done with it.
  bool take_relu(std::size_t k) {
    const std::optional<std::size_t> reader = readers_[operation(k).output];
    if (!reader || !std::holds_alternative<Relu>(operation(*reader).kind)) return false;
    return sites_[*reader].done = true;
  }
  /// Makes `value` the output of operation k, and of the ReLU that is part of it.
  void set_output(std::size_t k, memory value, bool with_relu) {
    output(k) = value;
    if (with_relu) output(*readers_[operation(k).output]) = std::move(value);
  }

  memory flat(std::vector<FlatTensor>& tensors, std::size_t offset, const memory::desc& desc) {
    return tensors.emplace_back(memory(desc, engine_, DNNL_MEMORY_NONE), offset).memory;
  }

  template <class Description>
  void add(Steps& steps, const dnnl::primitive& primitive, const Description& description,
           Arguments arguments) {
    if (const memory::desc scratchpad = description.scratchpad_desc(); scratchpad.get_size() > 0)
      arguments.emplace_back(DNNL_ARG_SCRATCHPAD, plan_->arena.scratch(scratchpad));
    steps.push_back(std::make_unique<PrimitiveStep>(primitive, std::move(arguments)));
  }

  void reorder(const memory& from, const memory& to, Steps& steps) {
    const dnnl::reorder::primitive_desc description(engine_, from.get_desc(), engine_,
                                                    to.get_desc(), attributes());
    add(steps, dnnl::reorder(description), description, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  }
  /// `from` in the wanted format: itself, or a reordered copy, made once.
  memory as(const memory& from, const memory::desc& wanted, Steps& steps) {
    if (from.get_desc() == wanted) return from;
    for (const auto& [known, copy] : copies_)
      if (known.get() == from.get() && copy.get_desc() == wanted) return copy;
    const memory copy = plan_->arena.place(wanted);
    reorder(from, copy, steps);
    copies_.emplace_back(from, copy);
    return copy;
  }

  void forward(std::size_t k, const Convolution& op) {
    const Shape &i = in(k), &o = out(k);
    const memory::dim n = dim(options_.batch), kernel = dim(op.kernel);
    const memory::dims weights = {dim(o.channels), dim(i.channels), kernel, kernel};
    const memory::dims strides(2, dim(op.stride)), padding(2, dim(op.padding));
    const bool relu = take_relu(k);
    Site& site = sites_[k];
    const dnnl::convolution_forward::desc description(
        direction(), dnnl::algorithm::convolution_direct,
        f32({n, dim(i.channels), dim(i.height), dim(i.width)}, Tag::any), f32(weights, Tag::any),
        f32({dim(o.channels)}, Tag::a),
        f32({n, dim(o.channels), dim(o.height), dim(o.width)}, Tag::any), strides, padding,
        padding);
    const auto& pd = site.convolution.emplace(description, attributes(relu), engine_);
    site.weight = flat(plan_->parameters, operation(k).weight, f32(weights, Tag::ohwi));
    run_forward(k, dnnl::convolution_forward(pd), pd, relu);
  }
  void backward(std::size_t k, const Convolution& op) {
    const Shape &i = in(k), &o = out(k);
    const memory::dim n = dim(options_.batch);
    const memory::dims strides(2, dim(op.stride)), padding(2, dim(op.padding));
    const memory::desc src = f32({n, dim(i.channels), dim(i.height), dim(i.width)}, Tag::any);
    const memory::desc dst = f32({n, dim(o.channels), dim(o.height), dim(o.width)}, Tag::any);
    const memory::desc weights = f32(sites_[k].weight.get_desc().dims(), Tag::any);
    const auto& hint = *sites_[k].convolution;
    const dnnl::convolution_backward_weights::primitive_desc to_weights(
        {dnnl::algorithm::convolution_direct, src, weights, f32({dim(o.channels)}, Tag::a), dst,
         strides, padding, padding},
        attributes(), engine_, hint);
    run_backward_weights(k, dnnl::convolution_backward_weights(to_weights), to_weights);
    if (k == first_with_parameters()) return;
    const dnnl::convolution_backward_data::primitive_desc to_data(
        {dnnl::algorithm::convolution_direct, src, weights, dst, strides, padding, padding},
        attributes(), engine_, hint);
    run_backward_data(k, dnnl::convolution_backward_data(to_data), to_data);
  }

  // Plain formats on purpose: the weights are then used where they lie in the flat vector, and
  // their gradient is written there. Blocked ones gain less than their reorders cost.
  void forward(std::size_t k, const Linear&) {
    const memory::desc src = plain(input(k).get_desc());
    const bool relu = take_relu(k);
    Site& site = sites_[k];
    memory::dims weights = src.dims();
    weights[0] = dim(out(k).count());
    site.weight = flat(plan_->parameters, operation(k).weight,
                       f32(weights, weights.size() == 4 ? Tag::ohwi : Tag::oi));
    const dnnl::inner_product_forward::desc description(direction(), src, site.weight.get_desc(),
                                                        f32({weights[0]}, Tag::a),
                                                        f32({src.dims()[0], weights[0]}, Tag::nc));
    const auto& pd = site.linear.emplace(description, attributes(relu), engine_);
    run_forward(k, dnnl::inner_product_forward(pd), pd, relu);
  }
  void backward(std::size_t k, const Linear&) {
    const memory::desc src = plain(input(k).get_desc()), dst = output(k).get_desc();
    const memory::desc weights = sites_[k].weight.get_desc();
    const auto& hint = *sites_[k].linear;
    const dnnl::inner_product_backward_weights::primitive_desc to_weights(
        {src, weights, f32({dst.dims()[1]}, Tag::a), dst}, attributes(), engine_, hint);
    run_backward_weights(k, dnnl::inner_product_backward_weights(to_weights), to_weights);
    if (k == first_with_parameters()) return;
    const dnnl::inner_product_backward_data::primitive_desc to_data({src, weights, dst},
                                                                    attributes(), engine_, hint);
    run_backward_data(k, dnnl::inner_product_backward_data(to_data), to_data);
  }

  // Convolution and linear layer alike:
  template <class Primitive, class Description>
  void run_forward(std::size_t k, const Primitive& primitive, const Description& pd, bool relu) {
    Steps& steps = plan_->forward;
    const memory dst = plan_->arena.place(pd.dst_desc());
    const memory bias = flat(plan_->parameters, operation(k).bias, pd.bias_desc());
    add(steps, primitive, pd,
        {{DNNL_ARG_SRC, as(input(k), pd.src_desc(), steps)},
         {DNNL_ARG_WEIGHTS, as(sites_[k].weight, pd.weights_desc(), steps)},
         {DNNL_ARG_BIAS, bias},
         {DNNL_ARG_DST, dst}});
    set_output(k, dst, relu);
  }
  template <class Primitive, class Description>
  void run_backward_weights(std::size_t k, const Primitive& primitive, const Description& pd) {
    Steps& steps = plan_->backward;
    const memory gradient =
        flat(plan_->gradients, operation(k).weight, sites_[k].weight.get_desc());
    const bool in_place = pd.diff_weights_desc() == gradient.get_desc();
    const memory produced = in_place ? gradient : plan_->arena.place(pd.diff_weights_desc());
    const memory bias = flat(plan_->gradients, operation(k).bias, pd.diff_bias_desc());
    add(steps, primitive, pd,
        {{DNNL_ARG_SRC, as(input(k), pd.src_desc(), steps)},
         {DNNL_ARG_DIFF_DST, as(output_gradient(k), pd.diff_dst_desc(), steps)},
         {DNNL_ARG_DIFF_WEIGHTS, produced},
         {DNNL_ARG_DIFF_BIAS, bias}});
    if (!in_place) reorder(produced, gradient, steps);
  }
  template <class Primitive, class Description>
  void run_backward_data(std::size_t k, const Primitive& primitive, const Description& pd) {
    Steps& steps = plan_->backward;
    input_gradient(k) = plan_->arena.place(pd.diff_src_desc());
    add(steps, primitive, pd,
        {{DNNL_ARG_DIFF_DST, as(output_gradient(k), pd.diff_dst_desc(), steps)},
         {DNNL_ARG_WEIGHTS, as(sites_[k].weight, pd.weights_desc(), steps)},
         {DNNL_ARG_DIFF_SRC, input_gradient(k)}});
  }

  dnnl::eltwise_forward::primitive_desc relu(const memory::desc& desc) const {
    return {{direction(), dnnl::algorithm::eltwise_relu_use_dst_for_bwd, desc, 0.0f},
            attributes(),
            engine_};
  }
  void forward(std::size_t k, const Relu&) {
    if (sites_[k].done) return;
    const auto pd = relu(input(k).get_desc());
    output(k) = plan_->arena.place(pd.dst_desc());
    add(plan_->forward, dnnl::eltwise_forward(pd), pd,
        {{DNNL_ARG_SRC, input(k)}, {DNNL_ARG_DST, output(k)}});
  }
  /// The way back through a ReLU that wrote `y`, in place: no value before a ReLU is kept.
  memory masked(const memory& dy, const memory& y) {
    const memory::desc desc = y.get_desc();
    const dnnl::eltwise_backward::primitive_desc pd(
        {dnnl::algorithm::eltwise_relu_use_dst_for_bwd, desc, desc, 0.0f}, attributes(), engine_,
        relu(desc));
    memory dx = as(dy, desc, plan_->backward);
    add(plan_->backward, dnnl::eltwise_backward(pd), pd,
        {{DNNL_ARG_DST, y}, {DNNL_ARG_DIFF_DST, dx}, {DNNL_ARG_DIFF_SRC, dx}});
    return dx;
  }
  void backward(std::size_t k, const Relu&) {
    input_gradient(k) =
        sites_[k].masked ? output_gradient(k) : masked(output_gradient(k), output(k));
  }

  void forward(std::size_t k, const MaxPool& op) {
    const memory::dims strides(2, dim(op.stride)), kernel(2, dim(op.kernel)), none(2, 0);
    const Shape& o = out(k);
    const memory::desc dst =
        f32({dim(options_.batch), dim(o.channels), dim(o.height), dim(o.width)}, Tag::any);
    const dnnl::pooling_forward::desc description(direction(), dnnl::algorithm::pooling_max,
                                                  input(k).get_desc(), dst, strides, kernel, none,
                                                  none);
    const auto& pd = sites_[k].pool.emplace(description, attributes(), engine_);
    output(k) = plan_->arena.place(pd.dst_desc());
    Arguments arguments = {{DNNL_ARG_SRC, input(k)}, {DNNL_ARG_DST, output(k)}};
    if (options_.training) {
      sites_[k].workspace = plan_->arena.place(pd.workspace_desc());
      arguments.emplace_back(DNNL_ARG_WORKSPACE, sites_[k].workspace);
    }
    add(plan_->forward, dnnl::pooling_forward(pd), pd, std::move(arguments));
  }
  void backward(std::size_t k, const MaxPool& op) {
    const memory::dims strides(2, dim(op.stride)), kernel(2, dim(op.kernel)), none(2, 0);
    const dnnl::pooling_backward::primitive_desc pd(
        {dnnl::algorithm::pooling_max, input(k).get_desc(), output(k).get_desc(), strides, kernel,
         none, none},
        attributes(), engine_, *sites_[k].pool);
    // A ReLU before the pool lets a window's gradient through if the window's largest is positive:
    // masked here, it costs a fraction of what it would on the other side of the pool.
    memory dy = as(output_gradient(k), output(k).get_desc(), plan_->backward);
    if (const std::optional<std::size_t> writer = writers_[operation(k).input];
        writer && std::holds_alternative<Relu>(operation(*writer).kind)) {
      dy = masked(dy, output(k));
      sites_[*writer].masked = true;
    }
    input_gradient(k) = plan_->arena.place(pd.diff_src_desc());
    add(plan_->backward, dnnl::pooling_backward(pd), pd,
        {{DNNL_ARG_DIFF_DST, dy},
         {DNNL_ARG_WORKSPACE, sites_[k].workspace},
         {DNNL_ARG_DIFF_SRC, input_gradient(k)}});
  }

  void forward(std::size_t k, const Dropout& op) {
    const memory x = as(input(k), plain(input(k).get_desc()), plan_->forward);
    output(k) = plan_->arena.place(x.get_desc());
    plan_->forward.push_back(std::make_unique<DropoutStep>(x, output(k), k, op.probability));
  }
  void backward(std::size_t k, const Dropout& op) {
    const memory dy = as(output_gradient(k), output(k).get_desc(), plan_->backward);
    input_gradient(k) = plan_->arena.place(dy.get_desc());
    plan_->backward.push_back(
        std::make_unique<DropoutStep>(dy, input_gradient(k), k, op.probability));
  }

  // The loss runs between the two lists; the others are refused by compile().
  template <class Other>
  void forward(std::size_t, const Other&) {}
  template <class Other>
  void backward(std::size_t, const Other&) {}

  const Program& program_;
  const CompileOptions& options_;
  const dnnl::engine& engine_;
  std::unique_ptr<Plan> plan_;
  std::vector<memory> values_, gradients_;                     // by activation
  std::vector<Site> sites_;                                    // by operation
  std::vector<std::optional<std::size_t>> readers_, writers_;  // of activations: operations
  std::vector<std::pair<memory, memory>> copies_;  // what as() has reordered, and to what
};

}  // namespace

Result<std::unique_ptr<Plan>> make_plan(const Program& program, const CompileOptions& options,
                                        const dnnl::engine& engine) {
  try {
    return Planner(program, options, engine).run();
  } catch (const std::exception& error) {  // dnnl::error, std::bad_alloc
    return fail(std::errc::not_supported, "oneDNN cannot run this program: {}", error.what());
  }
}

}  // namespace paceline
