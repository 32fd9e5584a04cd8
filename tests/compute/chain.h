// Small programs for tests: a chain of operations over one image shape, with parameters laid out as
// the flat vector wants them, and random vectors and batches to run it on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "paceline/compute/device.h"
#include "paceline/compute/program.h"

namespace paceline::test {

/// A link of a chain: the operation, and how many channels or features it makes (where it decides).
struct Link {
  OperationKind kind;
  std::size_t channels = 0;
};

/// Input, links, loss. The last link must make one value a class.
Program chain(Shape image, const std::vector<Link>& links);

/// CNN7 and LeNet in their published sizes.
Program cnn7(std::size_t classes = 10);
Program lenet(std::size_t classes = 10);

/// Parameters uniform in +-1/sqrt(fan-in), padding zero.
std::vector<float> random_parameters(const Program& program, std::uint64_t seed);

/// Images and labels that a Batch views.
struct OwnedBatch {
  std::vector<float> images;
  std::vector<std::int32_t> labels;
  Batch view() const { return {images, labels}; }
};
/// Pixels standard normal, labels uniform.
OwnedBatch random_batch(const Program& program, std::size_t images, std::uint64_t seed);

std::size_t classes_of(const Program& program);
/// For messages: "3x8x8 -> Convolution(5,1,2) -> ...".
std::string describe(const Program& program);

}  // namespace paceline::test
