// Builds a network layer by layer: infers shapes, names layers as PyTorch would, lays out the flat
// vector. Used by network.cc alone.
//   NB-1 The first layer that does not fit decides the error; what is called after it does nothing.
//   NB-2 Every tensor starts at a multiple of 16 elements (64 bytes).
#pragma once

#include <optional>
#include <string>

#include "paceline/layers/network.h"

namespace paceline {

class NetworkBuilder {
 public:
  NetworkBuilder(std::string network, Shape image);

  /// A square kernel, stride 1, with bias: "conv1", "conv2", ...
  void convolution(std::size_t channels, std::size_t kernel, std::size_t padding);
  void relu();
  /// 2x2, stride 2; an odd last row or column is left out.
  void pool();
  /// Over whatever comes in, flattened: "fc1", "fc2", ...
  void linear(std::size_t outputs);
  void dropout(double probability);

  struct Built {
    Program program;
    Layout layout;
  };
  /// Adds the loss. @pre the last layer's activation has one element a class
  Result<Built> finish() &&;

 private:
  const Shape& shape() const { return built_.program.activations.back(); }
  /// Appends the operation; what it writes becomes the current activation.
  void append(std::string name, OperationKind kind, Shape output);
  /// Appends "NAME.weight" and "NAME.bias" and points the last operation at them.
  void parameters(std::vector<std::size_t> weight, Shape flattened);
  std::size_t tensor(std::string name, std::vector<std::size_t> dimensions, Shape flattened);

  std::string network_;
  Built built_;
  std::optional<Error> error_;
  std::size_t convolutions_ = 0, relus_ = 0, pools_ = 0, linears_ = 0, dropouts_ = 0;
};

}  // namespace paceline
