// One table of operations: every operation in shapes plain and odd, each as a small program that a
// device can run (something with parameters before it, so that its data gradient shows; a linear
// layer and the loss after it), whole networks in small, and graphs drawn at random.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "compute/small_program.h"

namespace paceline::test {

struct Row {
  std::string name;  ///< for GoogleTest: letters, digits, underscores
  Program program;
  std::size_t batch = 1;
};

/// How GoogleTest prints a row.
inline void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

/// @param seed  of the random rows
std::vector<Row> operation_table(std::uint64_t seed);

// Its parts:

/// BatchNorm, and what residual networks make of it and of additions.
std::vector<Row> residual_rows();
/// Chains and graphs of any operations.
std::vector<Row> random_rows(std::uint64_t seed);

constexpr std::size_t kClasses = 3;
/// `image` through a 1x1 convolution to `channels`, then what `body` appends, then a linear layer.
Program around(Shape image, std::size_t channels, const std::function<void(ProgramSketch&)>& body);
/// The same, of a chain.
Program inside(Shape image, std::size_t channels, const std::vector<Link>& links);

}  // namespace paceline::test
