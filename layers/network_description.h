// What a network is before its images and classes are known: layers in order, each with what it
// reads. The named networks and text files (network_file.h) are descriptions; Network::build makes
// a Program and a layout of one. Plain data.
//   ND-1 A layer reads the one before it unless it names another; "input" is the batch.
//   ND-2 Every layer has a name, and no two the same; "input" and "loss" are nobody's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "paceline/compute/program.h"
#include "paceline/result.h"

namespace paceline {

/// How parameters start. BatchNorm starts at weight 1, bias 0, running mean 0 and variance 1.
enum class Initialisation : std::uint8_t {
  /// PyTorch's defaults: weights and biases uniform in +-1/sqrt(fan_in).
  pytorch,
  /// As torchvision's ResNets: convolutions normal with deviation sqrt(2 / fan_out), biases of
  /// theirs 0; linear layers as PyTorch's defaults. @source He et al. 2015
  resnet,
  /// As torchvision's VGGs: as resnet, but linear weights normal with deviation 0.01, biases 0.
  vgg,
};

struct LayerDescription {
  std::string name;  ///< "layer1.0.conv2"
  OperationKind kind;
  std::size_t channels = 0;  ///< that Convolution and PaddedShortcut make; Linear: its outputs,
                             ///< where 0 is one a class
  std::string input;         ///< the layer it reads; empty: the one before
  std::string other;         ///< Add: the layer it adds
  std::size_t line = 0;      ///< where it was read, for messages; 0: not in a file
};

struct NetworkDescription {
  std::string name;  ///< "resnet20"
  std::string file;  ///< where it was read, for messages; empty: one of named_networks()
  Shape image{.channels = 3, .height = 32, .width = 32};  ///< what it is meant for, to measure it
  std::size_t classes = 10;                               ///< likewise
  std::size_t crop = 0;  ///< height and width that it reads of larger images; 0: takes them whole
  double learning_rate = 0.05;  ///< for batch 128 and Nesterov momentum 0.9
  Initialisation initialisation = Initialisation::pytorch;
  std::vector<LayerDescription> layers;

  /// What it wants of images of this size. Images that are too small come back as they are:
  /// Network::build refuses them.
  Shape cropped(Shape from) const;
};

/// "conv3" for the third convolution: what PyTorch's users would call it.
std::string default_layer_name(std::span<const LayerDescription> before, const OperationKind& kind);

/// The networks that need no file.
std::vector<std::string> named_networks();
/// @return an error naming the nearest name
Result<NetworkDescription> named_network(std::string_view name);

}  // namespace paceline
