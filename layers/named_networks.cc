// The networks that need no file. Names of layers are PyTorch's, so that checkpoints go both ways.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "paceline/layers/nearest.h"
#include "paceline/layers/network_description.h"

namespace paceline {
namespace {

/// A layer's name and what it reads; what is left out is the default.
struct Where {
  std::string name = {}, input = {}, other = {};
};

/// Appends layers.
class Layers {
 public:
  explicit Layers(std::vector<LayerDescription>& layers) : layers_(layers) {}

  void add(OperationKind kind, std::size_t channels = 0, Where where = {}) {
    if (where.name.empty()) where.name = default_layer_name(layers_, kind);
    layers_.push_back({.name = std::move(where.name),
                       .kind = kind,
                       .channels = channels,
                       .input = std::move(where.input),
                       .other = std::move(where.other)});
  }
  const std::string& last() const { return layers_.back().name; }
  std::size_t size() const { return layers_.size(); }

 private:
  std::vector<LayerDescription>& layers_;
};

// --- Chains

/// @source LeCun et al. 1998, in the wider form of today's MNIST tutorials
void lenet(Layers& net) {
  for (const std::size_t channels : {32, 64}) {
    net.add(Convolution{.kernel = 5, .padding = 2}, channels);
    net.add(Relu{});
    net.add(MaxPool{});
  }
  net.add(Linear{}, 512);
  net.add(Relu{});
  net.add(Linear{});
}

/// @source Zhang, Choromanska, LeCun 2015, section 5 (the CIFAR net), as Teng et al. 2019 use it
void cnn7(Layers& net) {
  for (const std::size_t channels : {64, 128}) {
    net.add(Convolution{.kernel = 5}, channels);
    net.add(Relu{});
    net.add(MaxPool{});
  }
  net.add(Convolution{.kernel = 3}, 64);
  net.add(Relu{});
  net.add(Linear{}, 256);
  net.add(Relu{});
  net.add(Dropout{.probability = 0.5});
  net.add(Linear{});
}

void cnn6(Layers& net) {
  for (const std::size_t channels : {64, 128}) {
    for (int i = 0; i < 2; ++i) {
      net.add(Convolution{.kernel = 3, .padding = 1}, channels);
      net.add(Relu{});
    }
    net.add(MaxPool{});
  }
  net.add(Linear{}, 256);
  net.add(Relu{});
  net.add(Linear{});
}

/// torchvision's vgg16_bn with hidden layers of 512 and no pooling before them.
/// @source Simonyan and Zisserman 2015, configuration D
void vgg16(Layers& net) {
  const auto feature = [&](OperationKind kind, std::size_t channels = 0) {
    net.add(kind, channels, {.name = fmt::format("features.{}", net.size())});
  };
  struct Stage {
    int convolutions;
    std::size_t channels;
  };
  for (const Stage stage : {Stage{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}}) {
    for (int i = 0; i < stage.convolutions; ++i) {
      feature(Convolution{.kernel = 3, .padding = 1}, stage.channels);
      feature(BatchNorm{});
      feature(Relu{});
    }
    feature(MaxPool{});
  }
  const auto classifier = [&, first = net.size()](OperationKind kind, std::size_t outputs = 0) {
    net.add(kind, outputs, {.name = fmt::format("classifier.{}", net.size() - first)});
  };
  for (int i = 0; i < 2; ++i) {
    classifier(Linear{}, 512);
    classifier(Relu{});
    classifier(Dropout{.probability = 0.5});
  }
  classifier(Linear{});
}

// --- Residual networks

enum class Block : std::uint8_t {
  padded,      ///< two 3x3; shortcuts without parameters
  projecting,  ///< two 3x3; a shortcut that changes shape is a 1x1 convolution
  bottleneck,  ///< 1x1, 3x3 with the stride, 1x1 to four times the channels; shortcuts likewise
};

struct Residual {
  Block block;
  std::vector<std::size_t> blocks;  ///< of each stage
  std::size_t channels;             ///< of the first stage; each next one has twice as many
};

/// convN -> bnN, and reluN where another follows.
void unit(Layers& net, const std::string& block, int n, std::size_t channels, std::size_t kernel,
          std::size_t stride, bool rectified) {
  net.add(Convolution{.kernel = kernel, .stride = stride, .padding = kernel / 2, .bias = false},
          channels, {.name = fmt::format("{}conv{}", block, n)});
  net.add(BatchNorm{}, 0, {.name = fmt::format("{}bn{}", block, n)});
  if (rectified) net.add(Relu{}, 0, {.name = fmt::format("{}relu{}", block, n)});
}

/// @param in  channels that come in
/// @return channels that go out
std::size_t residual_block(Layers& net, Block kind, const std::string& name, std::size_t in,
                           std::size_t channels, std::size_t stride) {
  const std::string source = net.last();
  const bool bottleneck = kind == Block::bottleneck;
  const std::size_t out = bottleneck ? 4 * channels : channels;
  unit(net, name, 1, channels, bottleneck ? 1 : 3, bottleneck ? 1 : stride, true);
  unit(net, name, 2, channels, 3, bottleneck ? stride : 1, bottleneck);
  if (bottleneck) unit(net, name, 3, out, 1, 1, false);
  const std::string branch = net.last();
  std::string shortcut = source;
  if (stride != 1 || in != out) {
    if (kind == Block::padded) {
      net.add(PaddedShortcut{.stride = stride}, out, {.name = name + "shortcut", .input = source});
    } else {
      net.add(Convolution{.kernel = 1, .stride = stride, .bias = false}, out,
              {.name = name + "downsample.0", .input = source});
      net.add(BatchNorm{}, 0, {.name = name + "downsample.1"});
    }
    shortcut = net.last();
  }
  net.add(Add{}, 0,
          {.name = name + "add", .input = branch == net.last() ? "" : branch, .other = shortcut});
  net.add(Relu{}, 0, {.name = fmt::format("{}relu{}", name, bottleneck ? 3 : 2)});
  return out;
}

void residual_stages(Layers& net, const Residual& shape) {
  std::size_t in = shape.channels, channels = shape.channels;
  for (std::size_t stage = 0; stage < shape.blocks.size(); ++stage, channels *= 2) {
    for (std::size_t i = 0; i < shape.blocks[stage]; ++i) {
      in = residual_block(net, shape.block, fmt::format("layer{}.{}.", stage + 1, i), in, channels,
                          stage > 0 && i == 0 ? 2 : 1);
    }
  }
  net.add(GlobalAveragePool{}, 0, {.name = "avgpool"});
  net.add(Linear{}, 0, {.name = "fc"});
}

/// @source He et al. 2015, section 4.2
template <std::size_t depth>
void cifar_resnet(Layers& net) {
  constexpr std::size_t blocks = (depth - 2) / 6;
  unit(net, "", 1, 16, 3, 1, true);
  residual_stages(net, {Block::padded, {blocks, blocks, blocks}, 16});
}

/// @source He et al. 2015, table 1; the stride on the 3x3 convolutions as torchvision has it
void imagenet_resnet(Layers& net, const Residual& shape) {
  unit(net, "", 1, 64, 7, 2, true);
  net.add(MaxPool{.kernel = 3, .stride = 2, .padding = 1}, 0, {.name = "maxpool"});
  residual_stages(net, shape);
}

void resnet18(Layers& net) { imagenet_resnet(net, {Block::projecting, {2, 2, 2, 2}, 64}); }
void resnet50(Layers& net) { imagenet_resnet(net, {Block::bottleneck, {3, 4, 6, 3}, 64}); }

// --- The table

constexpr Shape kGrey28{1, 28, 28}, kColour28{3, 28, 28}, kColour32{3, 32, 32},
    kColour224{3, 224, 224};

/// A network as a row. Learning rates are for batch 128 and Nesterov momentum 0.9.
struct Recipe {
  std::string_view name;
  void (*build)(Layers&);
  Shape image;
  std::size_t classes;
  double learning_rate;
  Initialisation initialisation;
  std::size_t crop = 0;
};

// He et al. 2015 train CIFAR ResNets at 0.1 and find that too much for 110 layers at first; their
// ImageNet ResNets take 0.1 for 256 images, so half for 128 (Goyal et al. 2017).
constexpr std::array kRecipes = {
    Recipe{"lenet", lenet, kGrey28, 10, 0.05, Initialisation::pytorch},
    Recipe{"cnn7", cnn7, kColour28, 10, 0.03, Initialisation::pytorch, 28},
    Recipe{"cnn6", cnn6, kColour32, 10, 0.02, Initialisation::pytorch},
    Recipe{"resnet20", cifar_resnet<20>, kColour32, 10, 0.1, Initialisation::resnet},
    Recipe{"resnet32", cifar_resnet<32>, kColour32, 10, 0.1, Initialisation::resnet},
    Recipe{"resnet44", cifar_resnet<44>, kColour32, 10, 0.1, Initialisation::resnet},
    Recipe{"resnet56", cifar_resnet<56>, kColour32, 10, 0.1, Initialisation::resnet},
    Recipe{"resnet110", cifar_resnet<110>, kColour32, 10, 0.05, Initialisation::resnet},
    Recipe{"vgg16", vgg16, kColour32, 10, 0.05, Initialisation::vgg},
    Recipe{"resnet18", resnet18, kColour224, 1000, 0.05, Initialisation::resnet},
    Recipe{"resnet50", resnet50, kColour224, 1000, 0.05, Initialisation::resnet},
};

}  // namespace

std::vector<std::string> named_networks() {
  std::vector<std::string> all;
  for (const Recipe& recipe : kRecipes) all.emplace_back(recipe.name);
  return all;
}

Result<NetworkDescription> named_network(std::string_view name) {
  const auto* recipe = std::ranges::find(kRecipes, name, &Recipe::name);
  if (recipe == kRecipes.end()) {
    const std::vector<std::string> known = named_networks();
    const std::string meant = nearest(name, known);
    if (!meant.empty()) {
      return fail(std::errc::invalid_argument, "no network is called '{}'; did you mean '{}'?",
                  name, meant);
    }
    return fail(std::errc::invalid_argument,
                "no network is called '{}': there are {}, and files that end in .net", name,
                fmt::join(known, ", "));
  }
  NetworkDescription description;
  description.name = name;
  description.image = recipe->image;
  description.classes = recipe->classes;
  description.crop = recipe->crop;
  description.learning_rate = recipe->learning_rate;
  description.initialisation = recipe->initialisation;
  Layers layers(description.layers);
  recipe->build(layers);
  return description;
}

}  // namespace paceline
