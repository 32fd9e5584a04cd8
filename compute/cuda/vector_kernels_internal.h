// The kernels behind VectorMath on the GPU. Every pointer is one that the GPU can follow; everything
// is asynchronous on `stream` and allocates nothing. Compiled without contraction.
#pragma once

#include <cuda_runtime_api.h>

#include "paceline/compute/cuda/code_arithmetic_internal.h"
#include "paceline/compute/cuda/update_arithmetic_internal.h"

namespace paceline::cuda {

void launch(cudaStream_t stream, const FillElement& element, std::size_t count);
void launch(cudaStream_t stream, const ScaleElement& element, std::size_t count);
void launch(cudaStream_t stream, const AxpyElement& element, std::size_t count);
void launch(cudaStream_t stream, const DifferenceElement& element, std::size_t count);
void launch(cudaStream_t stream, const PullElement& element, std::size_t count);
void launch(cudaStream_t stream, const LookAheadElement& element, std::size_t count);
void launch(cudaStream_t stream, const MeanElement& element, std::size_t count);
void launch(cudaStream_t stream, const UpdateElement<float>& element, std::size_t count);
void launch(cudaStream_t stream, const UpdateElement<Bf16>& element, std::size_t count);

/// Of x, or (y not null) of x - y; `bad` and `largest` are of x alone. The order of additions depends
/// on the count alone: not on alignment, nor on the GPU.
/// @param scratch  vector_sums_scratch_bytes()
void vector_sums(cudaStream_t stream, const float* x, const float* y, std::size_t count,
                 VectorSums* sums, void* scratch);
std::size_t vector_sums_scratch_bytes();

/// The whole code of v. @param sums  of v, in the GPU's memory
void encode(cudaStream_t stream, std::byte* code, const float* v, std::size_t count, bool infinity,
            const VectorSums* sums, std::uint64_t state);
/// y += what the code's body says. @param body  behind the header
void add_decoded(cudaStream_t stream, float* y, std::size_t count, float step,
                 const std::byte* body);

}  // namespace paceline::cuda
