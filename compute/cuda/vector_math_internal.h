// VectorMath on the GPU: f32, every kernel on the calling thread's stream (cudaStreamPerThread),
// without contraction, so that each element has the bits that the CPU's algebra gives it.
//   CM-1 Operands lie in memory that the GPU can reach: a device's, or host memory that it maps
//        (Device::map_host). copy() and mean() take any host memory.
//   CM-2 A call whose operands include host memory, and one that returns a number, has ended when it
//        returns; all others are in the stream's order.
#pragma once

#include <memory>

#include "paceline/compute/cuda/twins_internal.h"
#include "paceline/compute/vector_math.h"

namespace paceline::cuda {

std::unique_ptr<VectorMath> make_vector_math(Twins& twins);

}  // namespace paceline::cuda
