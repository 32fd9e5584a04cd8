// What is done to a network's whole flat vector, parameters and buffers together, [P + B] in an
// executable's device memory. Threading: that of the executable.
#pragma once

#include "paceline/compute/device.h"
#include "paceline/layers/input/batch_stream.h"
#include "paceline/layers/network.h"

namespace paceline {

/// Runs the whole test set through a network.
Evaluation test(Executable& executable, const Layout& layout, ConstVector flat, TestStream& stream);

/// Gives the parameters buffers of their own: the mean of the statistics of the next few batches.
/// Nothing where there are no buffers.
/// @param stream  full batches of the executable's size
void estimate_buffers(Executable& executable, const Layout& layout, Vector flat,
                      BatchStream& stream);

}  // namespace paceline
