#include "paceline/compute/cuda/cuda_error_internal.h"

#include <fmt/format.h>

namespace paceline::cuda {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // told here: the next launch is not to find it
  throw CudaError(fmt::format("{}: {}", what, cudaGetErrorString(status)));
}

}  // namespace paceline::cuda
