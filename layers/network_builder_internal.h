// Makes a Program and a layout of a description: infers and checks shapes, lays out the flat
// vector. Used by network.cc alone.
//   NB-1 The first layer that does not fit decides the error, which names it and its file's line.
//   NB-2 Every tensor starts at a multiple of 16 elements (64 bytes), buffers behind all parameters.
//   NB-3 Every layer is read by another, but the last, which makes one value a class.
#pragma once

#include "paceline/layers/network.h"

namespace paceline {

struct BuiltNetwork {
  Program program;
  Layout layout;
};

/// @return an error that names the layer, what does not fit, and the remedy
Result<BuiltNetwork> build_network(const NetworkDescription& description,
                                   const NetworkOptions& options);

}  // namespace paceline
