// VectorMath on the GPU: f32, every kernel on the calling thread's stream (cudaStreamPerThread),
// without contraction, so that each element has the bits that the CPU's algebra gives it.
//   CM-1 Operands lie in memory that the GPU can reach: a device's, or host memory that it maps
//        (Device::map_host). Other host memory works, too, by way of scratch: copy() and mean() (part
//        by part) are meant to be used so, the rest is slow.
//   CM-2 A call whose operands include host memory, and one that returns a number, has ended when it
//        returns; all others are in the stream's order.
//   CM-3 What sums up (norm_squared, distance_squared, a code's norm of CodeNorm::two) adds in double
//        in an order that depends on the count alone; it is not the CPU's order, so that the last
//        bits differ, and with them, rarely, a coordinate of a code.
//   CM-4 begin_copy() to mapped host memory copies x to a buffer on the thread's stream and from there
//        on a stream beside it; to a device's memory it is in the thread's stream. Either way done()
//        asks an event. To other memory, or from the host's, it is done at once.
//   CM-5 update() reads the 16-bit side of a gradient whose f32 side is stale, and writes the weights'
//        twin in the same pass.
//   CM-6 A thread's scratch, events and snapshots are kept for its GPU and grow to what is needed:
//        nothing is allocated on the GPU from the second step on. At most 2^32 - 1 elements in an
//        update, and 256 vectors in a mean.
#pragma once

#include <memory>

#include "paceline/compute/cuda/twins_internal.h"
#include "paceline/compute/vector_math.h"

namespace paceline::cuda {

std::unique_ptr<VectorMath> make_vector_math(Twins& twins);

}  // namespace paceline::cuda
