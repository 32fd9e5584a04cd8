// A network: layers with PyTorch's names, shapes inferred and checked, and the flat vector that
// they share. Immutable once built; shared by all workers.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "paceline/compute/program.h"
#include "paceline/layers/network_description.h"
#include "paceline/result.h"

namespace paceline {

/// One parameter tensor in the flat vector.
struct Tensor {
  std::string name;                     ///< "conv1.weight"
  std::vector<std::size_t> dimensions;  ///< as stored: O,H,W,I; out,in; out
  std::size_t offset = 0;               ///< in f32 elements; a multiple of 16 (64 bytes)
  std::size_t count = 0;                ///< elements without padding
  Shape flattened;  ///< for a linear weight: the activation that `in` runs over, as H,W,C; else
                    ///< 1x1x1
};

/// The flat vector: [0, P) parameters, [P, P + B) buffers (running statistics). Protocols and optimisers
/// see [0, P) alone.
struct Layout {
  std::vector<Tensor> tensors;  ///< the parameters; one-dimensional ones are biases and BatchNorms
  std::vector<Tensor> buffers;  ///< at offsets from the flat vector's start, as all tensors
  std::size_t elements = 0;     ///< P, padding included
  std::size_t buffer_elements = 0;  ///< B, padding included
  std::size_t parameters = 0;       ///< without padding and buffers: what is printed
  std::size_t all_elements() const { return elements + buffer_elements; }
  /// XXH3 of names, dimensions and offsets, the same on every machine; compared wherever vectors
  /// meet.
  std::uint64_t hash() const;
};

/// What turns a description into a network.
struct NetworkOptions {
  Shape image;                 ///< what a batch holds, after NetworkDescription::cropped
  std::size_t classes = 0;     ///< 2 or more
  double label_smoothing = 0;  ///< in [0, 1): SoftmaxCrossEntropy's
};

class Network {
 public:
  /// @return an error naming the layer that does not fit, its line where it was read, and the remedy
  static Result<Network> build(NetworkDescription description, const NetworkOptions& options);
  /// Builds one of named_networks().
  static Result<Network> named(std::string_view name, Shape image, std::size_t classes);

  const NetworkDescription& description() const { return description_; }
  const std::string& name() const { return description_.name; }
  double learning_rate() const { return description_.learning_rate; }
  Shape image() const { return program_.activations.front(); }
  std::size_t classes() const { return program_.activations.back().count(); }
  const Program& program() const { return program_; }
  const Layout& layout() const { return layout_; }

  /// As the description's Initialisation says, from one stream a tensor: same seed, same bits;
  /// padding stays zero.
  /// @param x  [layout().all_elements()], parameters and buffers
  void initialise(std::span<float> x, std::uint64_t seed) const;

 private:
  Network() = default;
  NetworkDescription description_;
  Program program_;
  Layout layout_;
};

}  // namespace paceline
