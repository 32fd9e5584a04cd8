#include "paceline/compute/cuda/vector_kernels_internal.h"

#include "paceline/compute/cuda/each_element_internal.h"

namespace paceline::cuda {
namespace {

constexpr unsigned kMostSums = 1024;  // blocks of vector_sums()

unsigned sums_blocks(std::size_t count) {
  constexpr std::size_t each = std::size_t{kThreads} * kQuad * 4;
  return static_cast<unsigned>(std::clamp<std::size_t>((count + each - 1) / each, 1, kMostSums));
}

/// A block's sum as a tree, in the first thread.
__device__ VectorSums block_sums(const VectorSums& mine) {
  __shared__ double squares[kThreads];
  __shared__ float largest[kThreads];
  __shared__ unsigned bad[kThreads];
  const unsigned thread = threadIdx.x;
  VectorSums sums = mine;
  for (unsigned half = kThreads / 2;; half /= 2) {
    squares[thread] = sums.squares;
    largest[thread] = sums.largest;
    bad[thread] = sums.bad;
    __syncthreads();
    if (half == 0) break;
    if (thread < half) {
      const VectorSums other = {squares[thread + half], largest[thread + half], bad[thread + half]};
      add_sums(sums, other);
    }
    __syncthreads();
  }
  return sums;
}

template <int V>
__device__ void add_elements(VectorSums& sums, const float* x, const float* y, std::size_t i) {
  float mine[V], other[V];
  load(x + i, mine);
  if (y != nullptr) {
    load(y + i, other);
  } else {
    for (int j = 0; j < V; ++j) other[j] = 0;
  }
  for (int j = 0; j < V; ++j)
    add_element(sums, static_cast<double>(mine[j]) - static_cast<double>(other[j]), mine[j]);
}

/// Quads go to the same threads whether or not they are loaded at once.
__global__ void __launch_bounds__(kThreads)
    sums_kernel(const float* x, const float* y, std::size_t count, bool packed,
                VectorSums* partials) {
  VectorSums sums;
  const std::size_t stride = std::size_t{gridDim.x} * kThreads * kQuad;
  for (std::size_t i = (std::size_t{blockIdx.x} * kThreads + threadIdx.x) * kQuad; i < count;
       i += stride) {
    if (packed && i + kQuad <= count)
      add_elements<kQuad>(sums, x, y, i);
    else
      for (std::size_t e = i; e < min(i + kQuad, count); ++e) add_elements<1>(sums, x, y, e);
  }
  sums = block_sums(sums);
  if (threadIdx.x == 0) partials[blockIdx.x] = sums;
}
__global__ void __launch_bounds__(kThreads)
    sums_combine_kernel(const VectorSums* partials, unsigned count, VectorSums* to) {
  VectorSums sums;
  for (unsigned i = threadIdx.x; i < count; i += kThreads) add_sums(sums, partials[i]);
  sums = block_sums(sums);
  if (threadIdx.x == 0) *to = sums;
}

__global__ void __launch_bounds__(kThreads)
    encode_kernel(std::byte* code, const float* v, std::size_t count, bool infinity,
                  const VectorSums* sums, std::uint64_t state) {
  const double scale = code_scale(*sums, infinity);
  const std::size_t first = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (first < kCodeHeader) {  // byte by byte: a code lies anywhere
    const std::uint64_t words[2] = {static_cast<std::uint64_t>(__double_as_longlong(scale)), count};
    code[first] = static_cast<std::byte>(words[first / 8] >> (8 * (first % 8)));
  }
  const std::size_t quads = (count + 3) / 4;
  for (std::size_t q = first; q < quads; q += std::size_t{gridDim.x} * kThreads) {
    unsigned bits = 0;
    for (unsigned j = 0; j < 4; ++j) {
      const std::size_t i = q * 4 + j;
      if (i < count) bits |= code_of(v[i], i, scale, state) << (2 * j);
    }
    code[kCodeHeader + q] = static_cast<std::byte>(bits);
  }
}

struct AddDecodedElement {
  float* y;
  float step;
  const std::byte* body;
  template <int V>
  __device__ void at(std::size_t i) const {
    const unsigned bits = static_cast<unsigned>(body[i / 4]) >> (2 * (i % 4));
    float v[V];
    load(y + i, v);
    for (int j = 0; j < V; ++j) v[j] += added_by((bits >> (2 * j)) & 3u, step);
    store(y + i, v);
  }
};

}  // namespace

void launch(cudaStream_t stream, const FillElement& element, std::size_t count) {
  each_element<kQuad>(stream, element, count, aligned_for_packs(element.y), "fill");
}
void launch(cudaStream_t stream, const ScaleElement& element, std::size_t count) {
  each_element<kQuad>(stream, element, count, aligned_for_packs(element.y), "scale");
}
void launch(cudaStream_t stream, const AxpyElement& element, std::size_t count) {
  each_element<kQuad>(stream, element, count, aligned_for_packs(element.y, element.x), "axpy");
}
void launch(cudaStream_t stream, const DifferenceElement& element, std::size_t count) {
  each_element<kQuad>(stream, element, count, aligned_for_packs(element.d, element.x, element.y),
                      "difference");
}
void launch(cudaStream_t stream, const PullElement& element, std::size_t count) {
  each_element<kQuad>(stream, element, count, aligned_for_packs(element.x, element.leader), "pull");
}
void launch(cudaStream_t stream, const LookAheadElement& element, std::size_t count) {
  each_element<kQuad>(stream, element, count, aligned_for_packs(element.x, element.v),
                      "look_ahead");
}
void launch(cudaStream_t stream, const MeanElement& element, std::size_t count) {
  bool packed = aligned_for_packs(element.y);
  for (int k = 0; k < element.count; ++k) packed = packed && aligned_for_packs(element.xs[k]);
  each_element<kQuad>(stream, element, count, packed, "mean");
}

namespace {
template <class G>
void launch_update(cudaStream_t stream, const UpdateElement<G>& element, std::size_t count) {
  bool packed = aligned_for_packs(element.x, element.m, element.g, element.x16);
  for (int p = 0; p < element.pulls; ++p) packed = packed && aligned_for_packs(element.leaders[p]);
  each_element<kQuad>(stream, element, count, packed, "update");
}
}  // namespace
void launch(cudaStream_t stream, const UpdateElement<float>& element, std::size_t count) {
  launch_update(stream, element, count);
}
void launch(cudaStream_t stream, const UpdateElement<Bf16>& element, std::size_t count) {
  launch_update(stream, element, count);
}

std::size_t vector_sums_scratch_bytes() { return kMostSums * sizeof(VectorSums); }

void vector_sums(cudaStream_t stream, const float* x, const float* y, std::size_t count,
                 VectorSums* sums, void* scratch) {
  VectorSums* const partials = static_cast<VectorSums*>(scratch);
  const unsigned blocks = sums_blocks(count);
  sums_kernel<<<blocks, kThreads, 0, stream>>>(x, y, count, aligned_for_packs(x, y), partials);
  check_launch("vector_sums");
  sums_combine_kernel<<<1, kThreads, 0, stream>>>(partials, blocks, sums);
  check_launch("vector_sums");
}

void encode(cudaStream_t stream, std::byte* code, const float* v, std::size_t count, bool infinity,
            const VectorSums* sums, std::uint64_t state) {
  encode_kernel<<<blocks_for((count + 3) / 4), kThreads, 0, stream>>>(code, v, count, infinity,
                                                                      sums, state);
  check_launch("encode");
}

void add_decoded(cudaStream_t stream, float* y, std::size_t count, float step,
                 const std::byte* body) {
  each_element<kQuad>(stream, AddDecodedElement{y, step, body}, count, aligned_for_packs(y),
                      "add_decoded");
}

}  // namespace paceline::cuda
