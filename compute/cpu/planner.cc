#include "paceline/compute/cpu/planner_internal.h"

#include <omp.h>

#include <algorithm>

#include "paceline/compute/cpu/formats_internal.h"
#include "paceline/compute/cpu/residual_internal.h"

namespace paceline {
namespace {

/// `desc`, which is plain, with height and width or without, as `wanted` has it.
dnnl::memory::desc in_dimensions_of(const dnnl::memory::desc& wanted,
                                    const dnnl::memory::desc& desc) {
  return wanted.dims().size() == 4 ? spatial(desc) : flattened(desc);
}

}  // namespace

Planner::Planner(const Program& program, const CompileOptions& options, const dnnl::engine& engine,
                 ConvolutionChoice& choice, const std::string& convolution)
    : program_(program),
      options_(options),
      engine_(engine),
      choice_(choice),
      convolution_(convolution),
      threads_(static_cast<std::size_t>(omp_get_max_threads())),
      fusion_(program),
      plan_(std::make_unique<Plan>(engine)),
      values_(program.activations.size()),
      gradients_(program.activations.size()),
      sites_(program.operations.size()) {}

Result<std::unique_ptr<Plan>> Planner::run() && {
  PACELINE_TRYV(find_gaps());
  const memory::desc images =
      f32(dimensions(options_.batch, program_.activations.front()), Tag::nhwc);
  plan_->images = values_[0] = memory(images, engine_, DNNL_MEMORY_NONE);
  plan_->staging = plan_->arena.place(images);
  plan_->arena.use(plan_->staging);
  const std::size_t loss = program_.operations.size() - 1;
  for (std::size_t k = 0; k < loss; ++k)
    if (!fused(k).absorbed)
      PACELINE_TRYV(attempt(
          k, [&] { std::visit([&](const auto& op) { forward(k, op); }, operation(k).kind); }));
  plan_->arena.use(plan_->staging);
  const std::size_t logits = operation(loss).input;
  plan_->logits = as(loss, values_[logits], plain(values_[logits].get_desc()), plan_->forward);
  plan_->arena.keep(plan_->logits);
  plan_->arena.next_step();  // the loss
  if (options_.training) {
    plan_->dlogits = plan_->arena.place(plan_->logits.get_desc());
    plan_->arena.use(plan_->dlogits);
    plan_->arena.next_step();
    contribute(logits, plan_->dlogits);
    for (std::size_t k = loss; k-- > 0;)
      if (!fused(k).absorbed && fusion_.learned[operation(k).output])
        PACELINE_TRYV(attempt(
            k, [&] { std::visit([&](const auto& op) { backward(k, op); }, operation(k).kind); }));
  }
  PACELINE_TRYV(plan_->arena.commit());
  return std::move(plan_);
}

template <class Lower>
Result<> Planner::attempt(std::size_t k, Lower lower) {
  const auto no_memory = [&] {
    return fail(
        std::errc::not_enough_memory,
        "there is not enough memory for operation \"{}\" with {} images: use a smaller batch",
        operation(k).name, options_.batch);
  };
  try {
    lower();
    return success();
  } catch (const std::bad_alloc&) {
    return no_memory();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) return no_memory();
    return fail(std::errc::not_supported, "oneDNN cannot run operation \"{}\": {}",
                operation(k).name, error.what());
  }
}

/// What the backward pass does not write of the gradient.
Result<> Planner::find_gaps() {
  std::vector<Gap> tensors;
  for (std::size_t k = 0; k + 1 < program_.operations.size(); ++k) {
    const ParameterCounts counts = parameter_counts(operation(k).kind, in(k), out(k));
    if (counts.weight > 0)
      tensors.push_back({operation(k).weight, operation(k).weight + counts.weight});
    if (counts.bias > 0) tensors.push_back({operation(k).bias, operation(k).bias + counts.bias});
  }
  tensors.push_back({program_.parameter_elements, program_.parameter_elements});
  std::ranges::sort(tensors, {}, &Gap::first);
  std::size_t end = 0;
  for (const Gap& tensor : tensors) {
    if (tensor.first < end)
      return fail(std::errc::not_supported,
                  "parameter tensors overlap at element {} of the flat vector", tensor.first);
    if (tensor.first > end) plan_->gaps.push_back({end, tensor.first});
    end = tensor.last;
  }
  return success();
}

void Planner::add(Steps& steps, std::unique_ptr<Step> step, const std::vector<memory>& used,
                  Work work) {
  for (const memory& m : used)
    if (m) plan_->arena.use(m);
  plan_->arena.next_step();
  steps.push_back({std::move(step),
                   {.name = operation(work.operation).name,
                    .pass = work.pass,
                    .how = std::move(work.how),
                    .flops = work.flops,
                    .bytes = work.bytes}});
}

void Planner::add(Steps& steps, const dnnl::primitive& primitive, const memory::desc& scratchpad,
                  Arguments arguments, Work work) {
  if (scratchpad.get_size() > 0)
    arguments.emplace_back(DNNL_ARG_SCRATCHPAD, plan_->arena.place(scratchpad));
  std::vector<memory> used;
  for (const auto& [index, m] : arguments) used.push_back(m);
  add(steps, std::make_unique<PrimitiveStep>(primitive, std::move(arguments)), used,
      std::move(work));
}

void Planner::reorder(std::size_t k, const memory& from, const memory& to, Steps& steps) {
  const dnnl::reorder::primitive_desc description(engine_, from.get_desc(), engine_, to.get_desc(),
                                                  attributes());
  add(steps, dnnl::reorder(description), description.scratchpad_desc(),
      {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}},
      {.operation = k,
       .pass = &steps == &plan_->forward ? "forward" : "backward",
       .how = "reorder"});
}

Planner::memory Planner::as(std::size_t k, const memory& from, const memory::desc& wanted,
                            Steps& steps) {
  if (from.get_desc() == wanted) return from;
  for (const auto& [known, copy] : copies_)
    if (known.get() == from.get() && copy.get_desc() == wanted) return copy;
  if (from.get_desc().dims().size() != wanted.dims().size()) {
    const memory reshaped = plan_->arena.view(as(k, from, plain(from.get_desc()), steps),
                                              in_dimensions_of(wanted, from.get_desc()));
    const memory copy = as(k, reshaped, wanted, steps);
    copies_.emplace_back(from, copy);
    return copy;
  }
  const memory copy = plan_->arena.place(wanted);
  reorder(k, from, copy, steps);
  copies_.emplace_back(from, copy);
  return copy;
}

Planner::memory Planner::flat(std::vector<FlatTensor>& tensors, std::size_t offset,
                              const memory::desc& desc) {
  return tensors.emplace_back(memory(desc, engine_, DNNL_MEMORY_NONE), offset).memory;
}

void Planner::contribute(std::size_t activation, memory value, bool free) {
  if (fusion_.learned[activation]) gradients_[activation].push_back({std::move(value), free});
}

std::vector<Planner::Part> Planner::gradient_parts(std::size_t k, std::size_t activation,
                                                   const memory::desc& wanted) {
  std::vector<Part> parts = std::move(gradients_[activation]);
  for (Part& part : parts) {
    if (part.value.get_desc().dims().size() != wanted.dims().size()) {
      part = in_format(k, std::move(part), plain(part.value.get_desc()));
      part.value = plan_->arena.view(part.value, in_dimensions_of(wanted, part.value.get_desc()));
    }
    part = in_format(k, std::move(part), wanted);
  }
  while (parts.size() > 2) {
    const Part last = std::move(parts.back());
    parts.pop_back();
    parts.back() = sum(k, parts.back(), last);
  }
  return parts;
}

Planner::Part Planner::in_format(std::size_t k, Part part, const memory::desc& wanted) {
  if (part.value.get_desc() == wanted) return part;
  const Part copy{plan_->arena.place(wanted)};
  reorder(k, part.value, copy.value, plan_->backward);
  return copy;
}

Planner::Part Planner::gradient(std::size_t k, std::size_t activation, const memory::desc& wanted) {
  const std::vector<Part> parts = gradient_parts(k, activation, wanted);
  PACELINE_CHECK(!parts.empty(), "no gradient reaches activation {}", activation);
  return parts.size() == 1 ? parts[0] : sum(k, parts[0], parts[1]);
}

Planner::Part Planner::sum(std::size_t k, const Part& a, const Part& b) {
  const memory to = a.free ? a.value : b.free ? b.value : plan_->arena.place(a.value.get_desc());
  add(plan_->backward, std::make_unique<AddStep>(a.value, b.value, to, false),
      {a.value, b.value, to},
      {.operation = k,
       .pass = "backward",
       .how = "sum of gradients",
       .bytes = 3.0 * static_cast<double>(to.get_desc().get_size())});
  return {to};
}

Result<std::unique_ptr<Plan>> make_plan(const Program& program, const CompileOptions& options,
                                        const dnnl::engine& engine, ConvolutionChoice& choice,
                                        const std::string& convolution) {
  try {
    return Planner(program, options, engine, choice, convolution).run();
  } catch (const std::exception& error) {  // dnnl::error, std::bad_alloc
    return fail(std::errc::not_supported, "oneDNN cannot run this program: {}", error.what());
  }
}

}  // namespace paceline
