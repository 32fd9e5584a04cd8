#include "paceline/layers/network.h"

#include <fmt/ranges.h>
#define XXH_INLINE_ALL  // header only: nothing for consumers to link
#include <xxhash.h>

#include <algorithm>
#include <cmath>

#include "paceline/compute/random.h"
#include "paceline/layers/network_builder_internal.h"

namespace paceline {
namespace {

constexpr std::uint64_t kInitialise =
    0x494e4954ull;  // keeps its streams apart from others' of a seed

void fill_uniform(std::span<float> values, double bound, Rng rng) {
  for (float& value : values) value = static_cast<float>(bound * (2 * rng.uniform() - 1));
}

void fill_normal(std::span<float> values, double deviation, Rng rng) {
  for (float& value : values) value = static_cast<float>(deviation * rng.normal());
}

}  // namespace

std::uint64_t Layout::hash() const {
  std::string text;
  for (const auto* part : {&tensors, &buffers})
    for (const Tensor& t : *part)
      text += fmt::format("{} {} @{}\n", t.name, fmt::join(t.dimensions, "x"), t.offset);
  return XXH3_64bits(text.data(), text.size());
}

Result<Network> Network::build(NetworkDescription description, const NetworkOptions& options) {
  PACELINE_TRY(BuiltNetwork built, build_network(description, options));
  Network network;
  network.description_ = std::move(description);
  network.program_ = std::move(built.program);
  network.layout_ = std::move(built.layout);
  return network;
}

Result<Network> Network::named(std::string_view name, Shape image, std::size_t classes) {
  PACELINE_TRY(NetworkDescription description, named_network(name));
  return build(std::move(description), {.image = image, .classes = classes});
}

void Network::initialise(std::span<float> x, std::uint64_t seed) const {
  PACELINE_CHECK(x.size() == layout_.all_elements(), "{} elements for {} of {}", x.size(),
                 layout_.all_elements(), name());
  std::ranges::fill(x, 0.0F);
  std::uint64_t stream = 0;  // the tensor's index: tensors are in the order of operations
  const auto rng = [&] { return Rng(seed ^ kInitialise, stream++); };
  const Initialisation how = description_.initialisation;
  for (const Operation& op : program_.operations) {
    const Shape &in = program_.activations[op.input], &out = program_.activations[op.output];
    const ParameterCounts counts = parameter_counts(op.kind, in, out);
    if (counts.weight == 0) continue;
    const auto weight = x.subspan(op.weight, counts.weight), bias = x.subspan(op.bias, counts.bias);
    if (std::holds_alternative<BatchNorm>(op.kind)) {
      std::ranges::fill(weight, 1.0F);
      std::ranges::fill(x.subspan(layout_.elements + op.running_variance, in.channels), 1.0F);
      stream += 2;
      continue;
    }
    const auto* convolution = std::get_if<Convolution>(&op.kind);
    if (how == Initialisation::pytorch ||
        (how == Initialisation::resnet && convolution == nullptr)) {
      // A bias shares its weight's fan-in.
      const double bound = 1 / std::sqrt(static_cast<double>(counts.weight / out.channels));
      fill_uniform(weight, bound, rng());
      if (counts.bias > 0) fill_uniform(bias, bound, rng());
      continue;
    }
    const double fan_out = convolution == nullptr ? 0
                                                  : static_cast<double>(counts.weight) /
                                                        static_cast<double>(in.channels);
    fill_normal(weight, convolution == nullptr ? 0.01 : std::sqrt(2 / fan_out), rng());
    if (counts.bias > 0) ++stream;
  }
}

}  // namespace paceline
