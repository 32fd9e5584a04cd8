// A network as a device sees it: a flat list of operations over one parameter vector and numbered
// activations. layers/ builds a Program once; a Device compiles it for one batch size. Plain data:
// copy it, compare it, print it.
//   PR-1 Activations are numbered in the order in which they are written; 0 is the input batch. An
//        operation reads `input` (and Add reads `other`, too) and writes `output`, which is larger.
//        One or more operations read an activation; exactly one writes it.
//   PR-2 The canonical layout of an activation is N,H,W,C f32; what a backend uses inside is its
//        own business.
//   PR-3 Parameters lie in the flat vector at `weight` and `bias` (in f32 elements from its start,
//        multiples of 16): convolution weights O,H,W,I; linear weights out,in where `in` runs over
//        H,W,C of the activation.
//   PR-4 Running statistics lie in the buffers, a second vector beside the parameters, at
//        `running_mean` and `running_variance` (in f32 elements, multiples of 16).
//   PR-5 The last operation is SoftmaxCrossEntropy; its input are the logits.
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

/// Cross-correlation, square kernel: out = floor((in + 2 padding - kernel) / stride) + 1.
struct Convolution {
  std::size_t kernel = 3, stride = 1, padding = 0;
  bool bias = true;
  bool operator==(const Convolution&) const = default;
};
/// Per channel, over batch, height and width: y = weight (x - mean) / sqrt(variance + epsilon) + bias.
/// Training takes mean and (biased) variance from the batch and moves the running ones towards them:
/// running = (1 - momentum) running + momentum batch, the variance unbiased by n / (n - 1) where n > 1;
/// a running value that is not finite gives way to the batch's.
/// Evaluation takes the running ones.
/// @source Ioffe and Szegedy 2015, as PyTorch has it
struct BatchNorm {
  double epsilon = 1e-5, momentum = 0.1;
  bool operator==(const BatchNorm&) const = default;
};
/// max(x, 0); the gradient at 0 is 0.
struct Relu {
  bool operator==(const Relu&) const = default;
};
/// The largest of each window; of equals the first in row order takes the gradient. What lies in the
/// padding (at most half a kernel) never wins.
struct MaxPool {
  std::size_t kernel = 2, stride = 2, padding = 0;
  bool operator==(const MaxPool&) const = default;
};
/// The mean of each window, no padding.
struct AveragePool {
  std::size_t kernel = 2, stride = 2;
  bool operator==(const AveragePool&) const = default;
};
/// The mean of each channel over the image: 1x1 remains.
struct GlobalAveragePool {
  bool operator==(const GlobalAveragePool&) const = default;
};
/// y = input + other: the end of a residual block.
struct Add {
  bool operator==(const Add&) const = default;
};
/// A shortcut without parameters: every stride-th pixel, and channels of zeros added in equal numbers
/// before and after. @source He et al. 2015, option A
struct PaddedShortcut {
  std::size_t stride = 2;
  bool operator==(const PaddedShortcut&) const = default;
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
/// Training: the mean over the batch of -sum_c t_c log softmax(logits)_c, where t is
/// 1 - label_smoothing at the label plus label_smoothing / classes everywhere. Evaluation sums
/// -log softmax(logits)[label], whatever the smoothing. @source Szegedy et al. 2016, section 7
struct SoftmaxCrossEntropy {
  double label_smoothing = 0;  ///< in [0, 1)
  bool operator==(const SoftmaxCrossEntropy&) const = default;
};

using OperationKind =
    std::variant<Convolution, BatchNorm, Relu, MaxPool, AveragePool, GlobalAveragePool, Linear,
                 Dropout, Add, PaddedShortcut, SoftmaxCrossEntropy>;

/// One entry of the flat list.
struct Operation {
  std::string name;  ///< as PyTorch would call the layer: "conv1", "fc2"; for messages
  OperationKind kind;
  std::size_t input = 0, output = 0;  ///< activations
  std::size_t other = 0;              ///< Add's second input
  std::size_t weight = 0, bias = 0;   ///< offsets in the flat vector, where it has parameters
  std::size_t running_mean = 0, running_variance = 0;  ///< BatchNorm: offsets in the buffers
};

struct Program {
  std::vector<Shape> activations;  ///< by number
  std::vector<Operation> operations;
  std::size_t parameter_elements = 0;  ///< P of the flat vector, padding included
  std::size_t buffer_elements = 0;     ///< B, padding included
};

/// Elements of an operation's parameter tensors, unpadded; zero for those without.
struct ParameterCounts {
  std::size_t weight = 0, bias = 0;
};
ParameterCounts parameter_counts(const OperationKind& kind, const Shape& in, const Shape& out);

/// Checks PR-1, PR-3 to PR-5 and that every operation's shapes fit; devices do so before compiling.
/// @return an error that names the first operation that is wrong
Result<> validate(const Program& program);

}  // namespace paceline
