#include "paceline/compute/program.h"

#include <type_traits>

namespace paceline {
namespace {

std::string text(const Shape& s) { return fmt::format("{}x{}x{}", s.channels, s.height, s.width); }

/// floor((in + 2 padding - kernel) / stride) + 1; 0 when the window does not fit.
std::size_t windows(std::size_t in, std::size_t kernel, std::size_t stride, std::size_t padding) {
  if (kernel == 0 || stride == 0 || in + 2 * padding < kernel) return 0;
  return (in + 2 * padding - kernel) / stride + 1;
}

/// Whether an operation of this kind makes `out` of `in`.
bool fits(const OperationKind& kind, const Shape& in, const Shape& out) {
  const auto windowed = [&](std::size_t kernel, std::size_t stride, std::size_t padding) {
    return out.count() > 0 && out.height == windows(in.height, kernel, stride, padding) &&
           out.width == windows(in.width, kernel, stride, padding);
  };
  if (const auto* c = std::get_if<Convolution>(&kind))
    return windowed(c->kernel, c->stride, c->padding);
  if (const auto* p = std::get_if<MaxPool>(&kind))
    return windowed(p->kernel, p->stride, p->padding) && out.channels == in.channels &&
           2 * p->padding <= p->kernel;
  if (const auto* p = std::get_if<AveragePool>(&kind))
    return windowed(p->kernel, p->stride, 0) && out.channels == in.channels;
  if (std::holds_alternative<GlobalAveragePool>(kind)) return out == Shape{in.channels, 1, 1};
  if (const auto* s = std::get_if<PaddedShortcut>(&kind))
    return windowed(1, s->stride, 0) && out.channels >= in.channels &&
           (out.channels - in.channels) % 2 == 0;
  if (std::holds_alternative<Linear>(kind)) return out.height == 1 && out.width == 1;
  if (const auto* d = std::get_if<Dropout>(&kind))
    return out == in && d->probability >= 0 && d->probability < 1;
  if (const auto* n = std::get_if<BatchNorm>(&kind))
    return out == in && n->epsilon > 0 && n->momentum >= 0 && n->momentum <= 1;
  if (const auto* l = std::get_if<SoftmaxCrossEntropy>(&kind))  // one logit a channel
    return in.height == 1 && in.width == 1 && l->label_smoothing >= 0 && l->label_smoothing < 1;
  return out == in;  // Relu, Add
}

}  // namespace

ParameterCounts parameter_counts(const OperationKind& kind, const Shape& in, const Shape& out) {
  if (const auto* c = std::get_if<Convolution>(&kind))
    return {out.channels * c->kernel * c->kernel * in.channels, c->bias ? out.channels : 0};
  if (std::holds_alternative<BatchNorm>(kind)) return {in.channels, in.channels};
  if (std::holds_alternative<Linear>(kind)) return {out.count() * in.count(), out.count()};
  return {};
}

Result<> validate(const Program& program) {
  const auto refuse = [](const Operation& operation, std::string what) {
    return fail(std::errc::invalid_argument, "operation \"{}\" {}", operation.name, what);
  };
  if (program.activations.empty() || program.activations.front().count() == 0)
    return fail(std::errc::invalid_argument, "a program without an input shape");
  if (program.operations.empty() ||
      !std::holds_alternative<SoftmaxCrossEntropy>(program.operations.back().kind))
    return fail(std::errc::invalid_argument, "a program must end with the loss");
  std::vector<bool> written(program.activations.size(), false);
  written[0] = true;
  for (const Operation& operation : program.operations) {
    const bool loss = std::holds_alternative<SoftmaxCrossEntropy>(operation.kind);
    if (loss != (&operation == &program.operations.back()))
      return refuse(operation, "is a loss that is not the last operation");
    if (operation.input >= program.activations.size() || !written[operation.input])
      return refuse(operation, "reads an activation that nothing wrote before");
    if (loss ? false
             : operation.output >= program.activations.size() || written[operation.output] ||
                   operation.output <= operation.input)
      return refuse(operation, "must write an activation of its own, later than its input");
    const Shape& in = program.activations[operation.input];
    if (std::holds_alternative<Add>(operation.kind) &&
        (operation.other >= operation.output || !written[operation.other] ||
         program.activations[operation.other] != in))
      return refuse(operation, "must add two activations of one shape, both written before");
    const Shape& out = loss ? in : program.activations[operation.output];
    if (!fits(operation.kind, in, out))
      return refuse(operation, fmt::format("does not make {} of {}", text(out), text(in)));
    const ParameterCounts counts = parameter_counts(operation.kind, in, out);
    if (operation.weight % 16 != 0 || operation.bias % 16 != 0 ||
        operation.weight + counts.weight > program.parameter_elements ||
        operation.bias + counts.bias > program.parameter_elements)
      return refuse(operation, "has parameters outside the flat vector or not on 64 bytes");
    if (std::holds_alternative<BatchNorm>(operation.kind) &&
        (operation.running_mean % 16 != 0 || operation.running_variance % 16 != 0 ||
         operation.running_mean + in.channels > program.buffer_elements ||
         operation.running_variance + in.channels > program.buffer_elements))
      return refuse(operation, "has running statistics outside the buffers or not on 64 bytes");
    if (!loss) written[operation.output] = true;
  }
  return success();
}

}  // namespace paceline
