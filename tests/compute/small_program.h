// Small programs for tests: chains and graphs of operations over one image shape, with parameters
// and buffers laid out as the flat vector wants them, and random vectors and batches to run them on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "paceline/compute/device.h"
#include "paceline/compute/program.h"

namespace paceline::test {

/// An operation, and how many channels or features it makes (where it decides).
struct Link {
  OperationKind kind;
  std::size_t channels = 0;
};

/// Builds a program operation by operation. An activation is told by its number.
class ProgramSketch {
 public:
  explicit ProgramSketch(Shape image) { program_.activations.push_back(image); }
  /// Appends an operation that reads `input`. @return what it writes
  std::size_t apply(const Link& link, std::size_t input);
  /// The same, of what was written last.
  std::size_t then(const Link& link) { return apply(link, last()); }
  /// Appends links, each of which reads the one before. @return what the last one writes
  std::size_t apply_all(const std::vector<Link>& links, std::size_t input);
  /// input + other
  std::size_t add(std::size_t input, std::size_t other);
  std::size_t last() const { return program_.activations.size() - 1; }
  const Shape& shape(std::size_t activation) const { return program_.activations[activation]; }
  /// What writes an activation, not the input.
  const OperationKind& writer(std::size_t activation) const {
    return program_.operations[activation - 1].kind;
  }
  /// What nothing reads yet.
  std::vector<std::size_t> loose_ends() const;
  /// The loss of what was written last: one value a class.
  Program finish(const SoftmaxCrossEntropy& loss = {});

 private:
  Program program_;
};

/// Input, links, loss. The last link must make one value a class.
Program chain(Shape image, const std::vector<Link>& links, const SoftmaxCrossEntropy& loss = {});

/// CNN7 and LeNet in their published sizes.
Program cnn7(std::size_t classes = 10);
Program lenet(std::size_t classes = 10);

/// Weights and biases uniform in +-1/sqrt(fan-in), BatchNorm's weights in [0.5, 1.5] and its biases
/// in +-0.5, padding zero.
std::vector<float> random_parameters(const Program& program, std::uint64_t seed);
/// Running means uniform in +-0.5 and variances in [0.5, 1.5], padding zero.
std::vector<float> random_buffers(const Program& program, std::uint64_t seed);

/// Images and labels that a Batch views.
struct OwnedBatch {
  std::vector<float> images;
  std::vector<std::int32_t> labels;
  Batch view() const { return {images, labels}; }
};
/// Pixels standard normal, labels uniform.
OwnedBatch random_batch(const Program& program, std::size_t images, std::uint64_t seed);

/// Views, as devices take them.
inline ConstVector view(const std::vector<float>& v) { return {v.data(), v.size()}; }
inline Vector view(std::vector<float>& v) { return {v.data(), v.size()}; }

std::size_t classes_of(const Program& program);
/// For messages: "0:3x8x8 1:Convolution(5,1,2) 8x8x8 ...", with what is read where that is not the
/// activation before.
std::string describe(const Program& program);

}  // namespace paceline::test
