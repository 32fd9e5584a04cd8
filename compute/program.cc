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

/// What is wrong with an operation's own settings, whatever it is applied to; nothing if empty.
std::string wrong_setting(const OperationKind& kind) {
  if (const auto* p = std::get_if<MaxPool>(&kind); p && 2 * p->padding > p->kernel)
    return fmt::format("pads by {}, more than half its kernel of {}", p->padding, p->kernel);
  if (const auto* n = std::get_if<BatchNorm>(&kind)) {
    if (!(n->epsilon > 0)) return fmt::format("has epsilon {}, not above 0", n->epsilon);
    if (!(n->momentum >= 0 && n->momentum <= 1))
      return fmt::format("has momentum {}, not in [0, 1]", n->momentum);
  }
  if (const auto* d = std::get_if<Dropout>(&kind);
      d && !(d->probability >= 0 && d->probability < 1))
    return fmt::format("drops with probability {}, not in [0, 1)", d->probability);
  if (const auto* l = std::get_if<SoftmaxCrossEntropy>(&kind);
      l && !(l->label_smoothing >= 0 && l->label_smoothing < 1))
    return fmt::format("smooths labels by {}, not in [0, 1)", l->label_smoothing);
  return {};
}

/// Whether an operation of this kind makes `out` of `in`.
bool fits(const OperationKind& kind, const Shape& in, const Shape& out) {
  const auto windowed = [&](std::size_t kernel, std::size_t stride, std::size_t padding) {
    return out.height == windows(in.height, kernel, stride, padding) &&
           out.width == windows(in.width, kernel, stride, padding);
  };
  if (const auto* c = std::get_if<Convolution>(&kind))
    return windowed(c->kernel, c->stride, c->padding);
  if (const auto* p = std::get_if<MaxPool>(&kind))
    return windowed(p->kernel, p->stride, p->padding) && out.channels == in.channels;
  if (const auto* p = std::get_if<AveragePool>(&kind))
    return windowed(p->kernel, p->stride, 0) && out.channels == in.channels;
  if (std::holds_alternative<GlobalAveragePool>(kind)) return out == Shape{in.channels, 1, 1};
  if (const auto* s = std::get_if<PaddedShortcut>(&kind))
    return windowed(1, s->stride, 0) && out.channels >= in.channels;
  if (std::holds_alternative<Linear>(kind)) return out.height == 1 && out.width == 1;
  if (std::holds_alternative<SoftmaxCrossEntropy>(kind)) return in.height == 1 && in.width == 1;
  return out == in;  // BatchNorm, Relu, Dropout, Add
}

/// Whether a tensor lies in a vector of `elements` and starts on 64 bytes.
bool lies_within(std::size_t offset, std::size_t count, std::size_t elements) {
  return offset % 16 == 0 && count <= elements && offset <= elements - count;
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
  const std::vector<Shape>& shapes = program.activations;
  if (shapes.empty() || shapes.front().count() == 0)
    return fail(std::errc::invalid_argument, "a program without an input shape");
  if (program.operations.empty() ||
      !std::holds_alternative<SoftmaxCrossEntropy>(program.operations.back().kind))
    return fail(std::errc::invalid_argument, "a program must end with the loss");
  std::vector<bool> read(shapes.size(), false);
  std::size_t written = 1;  // activations so far, the input among them
  for (const Operation& operation : program.operations) {
    const auto refuse = [&](const std::string& what) {
      return fail(std::errc::invalid_argument, "operation \"{}\" {}", operation.name, what);
    };
    const bool last = &operation == &program.operations.back();
    if (std::holds_alternative<SoftmaxCrossEntropy>(operation.kind) != last)
      return refuse("is a loss that is not the last operation");
    if (operation.input >= written)
      return refuse(fmt::format("reads an activation that nothing wrote before: {} of {}",
                                operation.input, written));
    if (!last && (operation.output != written || written >= shapes.size()))
      return refuse(fmt::format("must write activation {} of {}, the next, not {}", written,
                                shapes.size(), operation.output));
    read[operation.input] = true;
    const Shape& in = shapes[operation.input];
    const Shape& out = last ? in : shapes[operation.output];
    if (std::holds_alternative<Add>(operation.kind)) {
      if (operation.other >= written)
        return refuse(fmt::format("adds an activation that nothing wrote before: {} of {}",
                                  operation.other, written));
      read[operation.other] = true;
      if (shapes[operation.other] != in)
        return refuse(fmt::format("adds {} to {}: an addition needs two of one shape",
                                  text(shapes[operation.other]), text(in)));
    }
    if (const std::string wrong = wrong_setting(operation.kind); !wrong.empty())
      return refuse(wrong);
    if (out.count() == 0 || !fits(operation.kind, in, out))
      return refuse(last ? fmt::format("needs one logit a class, not {}", text(in))
                         : fmt::format("does not make {} of {}", text(out), text(in)));
    if (std::holds_alternative<PaddedShortcut>(operation.kind) &&
        (out.channels - in.channels) % 2 != 0)
      return refuse(
          fmt::format("adds {} channels of zeros, which are not the same number before "
                      "and after",
                      out.channels - in.channels));
    const ParameterCounts counts = parameter_counts(operation.kind, in, out);
    if ((counts.weight > 0 &&
         !lies_within(operation.weight, counts.weight, program.parameter_elements)) ||
        (counts.bias > 0 && !lies_within(operation.bias, counts.bias, program.parameter_elements)))
      return refuse("has parameters outside the flat vector or not on 64 bytes");
    if (std::holds_alternative<BatchNorm>(operation.kind) &&
        (!lies_within(operation.running_mean, in.channels, program.buffer_elements) ||
         !lies_within(operation.running_variance, in.channels, program.buffer_elements)))
      return refuse("has running statistics outside the buffers or not on 64 bytes");
    if (!last) ++written;
  }
  for (const Operation& operation : program.operations)
    if (!read[operation.output] && &operation != &program.operations.back())
      return fail(std::errc::invalid_argument, "operation \"{}\" writes what nothing reads",
                  operation.name);
  return success();
}

}  // namespace paceline
