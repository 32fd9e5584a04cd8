// Which parameters are spared from weight decay on request. Pure; any thread.
#pragma once

#include <vector>

#include "paceline/compute/vector_math.h"
#include "paceline/layers/network.h"

namespace paceline {

/// The one-dimensional tensors, biases and BatchNorms, each with the padding behind it.
/// @return ascending and apart from each other, as Sgd::undecayed wants them
std::vector<ElementRange> undecayed_ranges(const Layout& layout);

}  // namespace paceline
