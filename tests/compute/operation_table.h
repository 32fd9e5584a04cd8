// One table of operations: every operation in shapes plain and odd, each as a small program that a
// device can run (something with parameters before it, so that its data gradient shows; a linear
// layer and the loss after it), and a few whole networks.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "paceline/compute/program.h"

namespace paceline::test {

struct Row {
  std::string name;  ///< for GoogleTest: letters, digits, underscores
  Program program;
  std::size_t batch = 1;
};

/// How GoogleTest prints a row.
inline void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

/// @param seed  of the random shapes
std::vector<Row> operation_table(std::uint64_t seed);

}  // namespace paceline::test
