// CUDA's errors as exceptions, which end a worker and nothing else; they never leave the backend's
// public calls that return a Result.
#pragma once

#include <cuda_runtime_api.h>

#include <shared_mutex>
#include <stdexcept>

namespace paceline::cuda {

/// A call of CUDA, cuDNN or cuBLASLt that failed, in words: "cudaMalloc of 1048576 bytes: out of memory".
class CudaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Held shared while a stream is captured, and alone by calls that synchronise the whole device, which
/// would end a capture of another thread.
inline std::shared_mutex& capture_mutex() {
  static std::shared_mutex mutex;
  return mutex;
}

/// @throws CudaError naming `what` when the call failed
void check(cudaError_t status, const char* what);
/// After a launch: what CUDA has to say about it.
inline void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

}  // namespace paceline::cuda
