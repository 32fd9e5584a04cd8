// Dropout, forward and (as it is the same) backward.
#include "paceline/compute/cuda/dropout_arithmetic_internal.h"
#include "paceline/compute/cuda/each_element_internal.h"
#include "paceline/compute/cuda/pointwise_internal.h"

namespace paceline::cuda {

void dropout(cudaStream_t stream, Scalar scalar, std::size_t count, const void* x, void* y,
             const std::uint64_t* seed, std::size_t operation, double probability, bool add) {
  with_scalar(scalar, [&](auto zero) {
    using T = decltype(zero);
    each_element(stream,
                 DropoutElement<T>{static_cast<const T*>(x), static_cast<T*>(y), seed, operation,
                                   DropoutFactors(probability), add},
                 count, aligned_for_packs(x, y), "dropout");
  });
}

}  // namespace paceline::cuda
