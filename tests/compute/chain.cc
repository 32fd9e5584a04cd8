#include "compute/chain.h"

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
  if (std::holds_alternative<Linear>(link.kind)) return {link.channels, 1, 1};
  return in;
}

}  // namespace

Program chain(Shape image, const std::vector<Link>& links) {
  Program program;
  program.activations.push_back(image);
  const auto append = [&](const Link& link) {
    const Shape in = program.activations.back();
    const Shape out = output_of(link, in);
    Operation operation{.name = fmt::format("op{}", program.operations.size()),
                        .kind = link.kind,
                        .input = program.activations.size() - 1,
                        .output = program.activations.size()};
    const ParameterCounts counts = parameter_counts(link.kind, in, out);
    if (counts.weight > 0) {
      operation.weight = program.parameter_elements;
      operation.bias = operation.weight + padded(counts.weight);
      program.parameter_elements = operation.bias + padded(counts.bias);
    }
    program.operations.push_back(std::move(operation));
    program.activations.push_back(out);
  };
  for (const Link& link : links) append(link);
  append({SoftmaxCrossEntropy{}});
  return program;
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
  for (const Operation& op : program.operations) {
    const ParameterCounts counts =
        parameter_counts(op.kind, program.activations[op.input], program.activations[op.output]);
    if (counts.weight == 0) continue;
    const double bound = 1 / std::sqrt(static_cast<double>(counts.weight / counts.bias));
    const auto fill = [&](std::size_t first, std::size_t count) {
      for (std::size_t e = first; e < first + count; ++e)
        x[e] = static_cast<float>((2 * rng.uniform() - 1) * bound);
    };
    fill(op.weight, counts.weight);
    fill(op.bias, counts.bias);
  }
  return x;
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

std::size_t classes_of(const Program& program) {
  return program.activations[program.operations.back().input].channels;
}

std::string describe(const Program& program) {
  struct Describe {
    std::string operator()(const Convolution& c) const {
      return fmt::format("Convolution({},{},{})", c.kernel, c.stride, c.padding);
    }
    std::string operator()(const MaxPool& p) const {
      return fmt::format("MaxPool({},{})", p.kernel, p.stride);
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
    std::string operator()(const SoftmaxCrossEntropy&) const { return "loss"; }
  };
  const auto shape = [](const Shape& s) {
    return fmt::format("{}x{}x{}", s.channels, s.height, s.width);
  };
  std::string text = shape(program.activations[0]);
  for (const Operation& op : program.operations)
    text += fmt::format(" {} {}", std::visit(Describe{}, op.kind),
                        shape(program.activations[op.output]));
  return text;
}

}  // namespace paceline::test
