// The built-in data set: drawn, not downloaded. Ten kinds of figure at random places, sizes, angles
// and colours, on restless ground, among scraps: only the outline tells the class. How hard it is
// stands at the head of synthetic.cc.
//   SY-1 Image i of a set depends on (seed, training or test, i) alone: a larger set begins with
//        the smaller one's images; training and test images come from different streams.
//   SY-2 The same bits on every machine: additions, multiplications, divisions and roots as IEEE
//        754 has them, nothing of the mathematical library.
//   SY-3 Image i is of class i mod 10.
#pragma once

#include <cstdint>

#include "paceline/layers/input/dataset.h"

namespace paceline {

struct SyntheticOptions {
  std::uint64_t seed = 1;
  std::size_t train = 20000, test = 4000;  ///< images
};

/// 3x32x32, ten classes.
/// @pre at least one image in each set
Data make_synthetic(const SyntheticOptions& options);

}  // namespace paceline
