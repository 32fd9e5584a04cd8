#include "compute/small_program.h"

#include <fmt/format.h>

#include <cmath>

#include "paceline/compute/random.h"

namespace paceline::test {
namespace {

std::size_t padded(std::size_t count) { return (count + 15) / 16 * 16; }

std::size_t windows(std::size_t in, std::size_t kernel, std::size_t stride, std::size_t padding) {
  return (in + 2 * padding - kernel) / stride + 1;
}

Shape output_of(const Link& link, const Shape& in) {
  if (const auto* c = std::get_if<Convolution>(&link.kind))
    return {link.channels, windows(in.height, c->kernel, c->stride, c->padding),
            windows(in.width, c->kernel, c->stride, c->padding)};
  if (const auto* p = std::get_if<MaxPool>(&link.kind))
    return {in.channels, windows(in.height, p->kernel, p->stride, p->padding),
            windows(in.width, p->kernel, p->stride, p->padding)};
  if (const auto* p = std::get_if<AveragePool>(&link.kind))
    return {in.channels, windows(in.height, p->kernel, p->stride, 0),
            windows(in.width, p->kernel, p->stride, 0)};
  if (const auto* s = std::get_if<PaddedShortcut>(&link.kind))
    return {link.channels, windows(in.height, 1, s->stride, 0), windows(in.width, 1, s->stride, 0)};
  if (std::holds_alternative<GlobalAveragePool>(link.kind)) return {in.channels, 1, 1};
  if (std::holds_alternative<Linear>(link.kind)) return {link.channels, 1, 1};
  return in;
}

}  // namespace

std::size_t ProgramSketch::apply(const Link& link, std::size_t input) {
  const Shape in = shape(input), out = output_of(link, in);
  Operation operation{.name = fmt::format("op{}", program_.operations.size()),
                      .kind = link.kind,
                      .input = input,
                      .output = program_.activations.size()};
  const auto place = [](std::size_t& elements, std::size_t count) {
    const std::size_t offset = elements;
    elements += padded(count);
    return count > 0 ? offset : 0;
  };
  const ParameterCounts counts = parameter_counts(link.kind, in, out);
  operation.weight = place(program_.parameter_elements, counts.weight);
  operation.bias = place(program_.parameter_elements, counts.bias);
  if (std::holds_alternative<BatchNorm>(link.kind)) {
    operation.running_mean = place(program_.buffer_elements, in.channels);
    operation.running_variance = place(program_.buffer_elements, in.channels);
  }
  program_.operations.push_back(std::move(operation));
  program_.activations.push_back(out);
  return last();
}

std::size_t ProgramSketch::apply_all(const std::vector<Link>& links, std::size_t input) {
  for (const Link& link : links) input = apply(link, input);
  return input;
}

std::size_t ProgramSketch::add(std::size_t input, std::size_t other) {
  apply({Add{}}, input);
  program_.operations.back().other = other;
  return last();
}

std::vector<std::size_t> ProgramSketch::loose_ends() const {
  std::vector<bool> read(program_.activations.size(), false);
  for (const Operation& operation : program_.operations) {
    read[operation.input] = true;
    if (std::holds_alternative<Add>(operation.kind)) read[operation.other] = true;
  }
  std::vector<std::size_t> ends;
  for (std::size_t k = 0; k < read.size(); ++k)
    if (!read[k]) ends.push_back(k);
  return ends;
}

Program ProgramSketch::finish(const SoftmaxCrossEntropy& loss) {
  then({loss});
  return std::move(program_);
}

Program chain(Shape image, const std::vector<Link>& links, const SoftmaxCrossEntropy& loss) {
  ProgramSketch sketch(image);
  sketch.apply_all(links, 0);
  return sketch.finish(loss);
}

Program cnn7(std::size_t classes) {
  return chain({3, 28, 28}, {{Convolution{5, 1, 0}, 64},
                             {Relu{}},
                             {MaxPool{}},
                             {Convolution{5, 1, 0}, 128},
                             {Relu{}},
                             {MaxPool{}},
                             {Convolution{3, 1, 0}, 64},
                             {Relu{}},
                             {Linear{}, 256},
                             {Relu{}},
                             {Dropout{0.5}},
                             {Linear{}, classes}});
}

Program lenet(std::size_t classes) {
  return chain({1, 28, 28}, {{Convolution{5, 1, 2}, 32},
                             {Relu{}},
                             {MaxPool{}},
                             {Convolution{5, 1, 2}, 64},
                             {Relu{}},
                             {MaxPool{}},
                             {Linear{}, 512},
                             {Relu{}},
                             {Linear{}, classes}});
}

std::vector<float> random_parameters(const Program& program, std::uint64_t seed) {
  std::vector<float> x(program.parameter_elements, 0.0f);
  Rng rng(seed);
  const auto fill = [&](std::size_t first, std::size_t count, double middle, double reach) {
    for (std::size_t e = first; e < first + count; ++e)
      x[e] = static_cast<float>(middle + (2 * rng.uniform() - 1) * reach);
  };
  for (const Operation& op : program.operations) {
    const Shape &in = program.activations[op.input], &out = program.activations[op.output];
    const ParameterCounts counts = parameter_counts(op.kind, in, out);
    if (counts.weight == 0) continue;
    if (std::holds_alternative<BatchNorm>(op.kind)) {
      fill(op.weight, counts.weight, 1, 0.5);
      fill(op.bias, counts.bias, 0, 0.5);
      continue;
    }
    const double bound = 1 / std::sqrt(static_cast<double>(counts.weight / out.channels));
    fill(op.weight, counts.weight, 0, bound);
    fill(op.bias, counts.bias, 0, bound);
  }
  return x;
}

std::vector<float> random_buffers(const Program& program, std::uint64_t seed) {
  std::vector<float> buffers(program.buffer_elements, 0.0f);
  Rng rng(seed, 2);
  for (const Operation& op : program.operations) {
    if (!std::holds_alternative<BatchNorm>(op.kind)) continue;
    for (std::size_t c = 0; c < program.activations[op.input].channels; ++c) {
      buffers[op.running_mean + c] = static_cast<float>(rng.uniform() - 0.5);
      buffers[op.running_variance + c] = static_cast<float>(rng.uniform() + 0.5);
    }
  }
  return buffers;
}

OwnedBatch random_batch(const Program& program, std::size_t images, std::uint64_t seed) {
  Rng rng(seed, 1);
  OwnedBatch batch;
  batch.images.resize(images * program.activations[0].count());
  for (float& pixel : batch.images) pixel = static_cast<float>(rng.normal());
  for (std::size_t n = 0; n < images; ++n)
    batch.labels.push_back(static_cast<std::int32_t>(rng.below(classes_of(program))));
  return batch;
}

bool refused_for_now(const char* device_name, const Program& program) {
  const auto compiled = open_device(device_name, {}).value()->compile(program, {.batch = 1});
  if (compiled || compiled.error().code != std::errc::not_supported) return false;
  const std::string& message = compiled.error().message;
  return message.find("cannot be run here") != std::string::npos ||
         message.find("read one activation") != std::string::npos;
}

std::size_t classes_of(const Program& program) {
  return program.activations[program.operations.back().input].channels;
}

std::string describe(const Program& program) {
  struct Describe {
    std::string operator()(const Convolution& c) const {
      return fmt::format("Convolution({},{},{}{})", c.kernel, c.stride, c.padding,
                         c.bias ? "" : ",no bias");
    }
    std::string operator()(const MaxPool& p) const {
      return fmt::format("MaxPool({},{},{})", p.kernel, p.stride, p.padding);
    }
    std::string operator()(const Dropout& d) const {
      return fmt::format("Dropout({})", d.probability);
    }
    std::string operator()(const BatchNorm&) const { return "BatchNorm"; }
    std::string operator()(const AveragePool& p) const {
      return fmt::format("AveragePool({},{})", p.kernel, p.stride);
    }
    std::string operator()(const GlobalAveragePool&) const { return "GlobalAveragePool"; }
    std::string operator()(const Add&) const { return "Add"; }
    std::string operator()(const PaddedShortcut& s) const {
      return fmt::format("PaddedShortcut({})", s.stride);
    }
    std::string operator()(const Relu&) const { return "Relu"; }
    std::string operator()(const Linear&) const { return "Linear"; }
    std::string operator()(const SoftmaxCrossEntropy& l) const {
      return fmt::format("loss({})", l.label_smoothing);
    }
  };
  const auto shape = [](const Shape& s) {
    return fmt::format("{}x{}x{}", s.channels, s.height, s.width);
  };
  std::string text = "0:" + shape(program.activations[0]);
  for (const Operation& op : program.operations) {
    text += fmt::format(" {}:{}", op.output, std::visit(Describe{}, op.kind));
    if (std::holds_alternative<Add>(op.kind))
      text += fmt::format("[{},{}]", op.input, op.other);
    else if (op.input + 1 != op.output)
      text += fmt::format("[{}]", op.input);
    text += " " + shape(program.activations[op.output]);
  }
  return text;
}

}  // namespace paceline::test
