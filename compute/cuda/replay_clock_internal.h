// How long work takes when a captured CUDA graph replays it, as training steps do: without the
// host's launches. For choosing among plans; synchronises, so never inside a step. Nothing of it
// goes to the legacy default stream, which would break what other threads capture.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <vector>

namespace paceline::cuda {

/// Device memory to time on; goes with its owner.
class TrialMemory {
 public:
  /// Filled with small numbers, in the stream's order. @throws CudaError when there is no memory
  TrialMemory(cudaStream_t stream, std::size_t bytes);
  void* get() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(void* memory) const { cudaFree(memory); }
  };
  std::unique_ptr<void, Free> memory_;
};

/// A stream of its own with the graphs captured on it. One thread; the current GPU's.
class ReplayClock {
 public:
  ReplayClock();  ///< @throws CudaError
  ~ReplayClock();
  ReplayClock(const ReplayClock&) = delete;
  ReplayClock& operator=(const ReplayClock&) = delete;

  /// Runs the work once as it is, then captures it. @throws CudaError when either fails
  void capture(const std::function<void(cudaStream_t)>& work);
  cudaStream_t stream() const { return stream_; }
  /// Of one run of the k-th work captured. @throws CudaError
  double seconds(std::size_t k);

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
  std::vector<cudaGraphExec_t> graphs_;
};

}  // namespace paceline::cuda
