#include <numeric>

#include "paceline/layers/network_builder_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kAlignment = 16;  // elements: 64 bytes, a cache line and an AVX-512 register

}  // namespace

NetworkBuilder::NetworkBuilder(std::string network, Shape image) : network_(std::move(network)) {
  built_.program.activations.push_back(image);
  if (image.count() == 0) {
    error_ = fail(std::errc::invalid_argument, "{}: images of {}x{}x{} hold nothing", network_,
                  image.height, image.width, image.channels);
  }
}

void NetworkBuilder::convolution(std::size_t channels, std::size_t kernel, std::size_t padding) {
  if (error_) return;
  const Shape in = shape();
  const std::string name = fmt::format("conv{}", ++convolutions_);
  const std::size_t height = in.height + 2 * padding, width = in.width + 2 * padding;
  if (height < kernel || width < kernel) {
    error_ = fail(std::errc::invalid_argument,
                  "{}: {} needs {}x{} pixels, but gets {}x{} (with padding) from {}x{} images: "
                  "choose larger images or another network",
                  network_, name, kernel, kernel, height, width,
                  built_.program.activations[0].height, built_.program.activations[0].width);
    return;
  }
  append(name, Convolution{.kernel = kernel, .stride = 1, .padding = padding},
         {.channels = channels, .height = height - kernel + 1, .width = width - kernel + 1});
  parameters({channels, kernel, kernel, in.channels}, {});
}

void NetworkBuilder::relu() {
  if (error_) return;
  append(fmt::format("relu{}", ++relus_), Relu{}, shape());
}

void NetworkBuilder::pool() {
  if (error_) return;
  const Shape in = shape();
  const std::string name = fmt::format("pool{}", ++pools_);
  if (in.height < 2 || in.width < 2) {
    error_ = fail(std::errc::invalid_argument,
                  "{}: {} needs 2x2 pixels, but gets {}x{} from {}x{} images: choose larger images "
                  "or another network",
                  network_, name, in.height, in.width, built_.program.activations[0].height,
                  built_.program.activations[0].width);
    return;
  }
  append(name, MaxPool{.kernel = 2, .stride = 2},
         {.channels = in.channels, .height = in.height / 2, .width = in.width / 2});
}

void NetworkBuilder::linear(std::size_t outputs) {
  if (error_) return;
  const Shape in = shape();
  append(fmt::format("fc{}", ++linears_), Linear{}, {.channels = outputs});
  parameters({outputs, in.count()}, in);
}

void NetworkBuilder::dropout(double probability) {
  if (error_) return;
  append(fmt::format("dropout{}", ++dropouts_), Dropout{.probability = probability}, shape());
}

Result<NetworkBuilder::Built> NetworkBuilder::finish() && {
  if (error_) return *std::move(error_);
  append("loss", SoftmaxCrossEntropy{}, shape());
  built_.program.parameter_elements = built_.layout.elements;
  return std::move(built_);
}

void NetworkBuilder::append(std::string name, OperationKind kind, Shape output) {
  Program& program = built_.program;
  program.operations.push_back({.name = std::move(name),
                                .kind = kind,
                                .input = program.activations.size() - 1,
                                .output = program.activations.size()});
  program.activations.push_back(output);
}

void NetworkBuilder::parameters(std::vector<std::size_t> weight, Shape flattened) {
  const std::size_t outputs = weight.front();
  Operation& operation = built_.program.operations.back();
  operation.weight = tensor(operation.name + ".weight", std::move(weight), flattened);
  operation.bias = tensor(operation.name + ".bias", {outputs}, {});
}

std::size_t NetworkBuilder::tensor(std::string name, std::vector<std::size_t> dimensions,
                                   Shape flattened) {
  const std::size_t count =
      std::accumulate(dimensions.begin(), dimensions.end(), std::size_t{1}, std::multiplies<>());
  Layout& layout = built_.layout;
  const std::size_t offset = layout.elements;
  layout.tensors.push_back({.name = std::move(name),
                            .dimensions = std::move(dimensions),
                            .offset = offset,
                            .count = count,
                            .flattened = flattened});
  layout.parameters += count;
  layout.elements = offset + (count + kAlignment - 1) / kAlignment * kAlignment;
  return offset;
}

}  // namespace paceline
