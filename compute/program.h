// A network as a device sees it: a flat list of operations over one parameter vector and numbered
// activations. layers/ builds a Program once; a Device compiles it for one batch size. Plain data:
// copy it, compare it, print it.
//   PR-1 Activations are numbered in the order in which they are written; 0 is the input batch. An
//        operation reads `input` and writes `output`, and output > input.
//   PR-2 The canonical layout of an activation is N,H,W,C f32; what a backend uses inside is its
//        own business.
//   PR-3 Parameters lie in the flat vector at `weight` and `bias` (in f32 elements from its start,
//        multiples of 16): convolution weights O,H,W,I; linear weights out,in where `in` runs over
//        H,W,C of the activation.
//   PR-4 The last operation is SoftmaxCrossEntropy; its input are the logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "paceline/result.h"

namespace paceline {

/// One image's activation: height x width x channels.
struct Shape {
  std::size_t channels = 1, height = 1, width = 1;
  std::size_t count() const { return channels * height * width; }
  bool operator==(const Shape&) const = default;
};

/// Cross-correlation with bias, square kernel: out = floor((in + 2 padding - kernel) / stride) + 1.
struct Convolution {
  std::size_t kernel = 3, stride = 1, padding = 0;
  bool operator==(const Convolution&) const = default;
};
/// max(x, 0); the gradient at 0 is 0.
struct Relu {
  bool operator==(const Relu&) const = default;
};
/// The largest of each window, no padding; of equals the first in row order takes the gradient.
struct MaxPool {
  std::size_t kernel = 2, stride = 2;
  bool operator==(const MaxPool&) const = default;
};
/// y = W x + b over the flattened activation.
struct Linear {
  bool operator==(const Linear&) const = default;
};
/// Training: x * mask / (1 - probability), where each mask element is 1 with 1 - probability.
/// Evaluation: identity.
struct Dropout {
  double probability = 0.5;
  bool operator==(const Dropout&) const = default;
};
/// Mean over the batch of -log softmax(logits)[label].
struct SoftmaxCrossEntropy {
  bool operator==(const SoftmaxCrossEntropy&) const = default;
};

using OperationKind =
    std::variant<Convolution, Relu, MaxPool, Linear, Dropout, SoftmaxCrossEntropy>;

/// One entry of the flat list.
struct Operation {
  std::string name;  ///< as PyTorch would call the layer: "conv1", "fc2"; for messages
  OperationKind kind;
  std::size_t input = 0, output = 0;  ///< activations
  std::size_t weight = 0, bias = 0;   ///< offsets in the flat vector, where it has parameters
};

struct Program {
  std::vector<Shape> activations;  ///< by number
  std::vector<Operation> operations;
  std::size_t parameter_elements = 0;  ///< P of the flat vector, padding included
};

/// Elements of an operation's parameter tensors, unpadded; zero for those without.
struct ParameterCounts {
  std::size_t weight = 0, bias = 0;
};
ParameterCounts parameter_counts(const OperationKind& kind, const Shape& in, const Shape& out);

/// Checks PR-1, PR-3, PR-4 and that every operation's shapes fit; devices do so before compiling.
/// @return an error that names the first operation that is wrong
Result<> validate(const Program& program);

}  // namespace paceline
