// How long work takes when a captured CUDA graph replays it, as training steps do: launches from the
// host are not in it. For choosing among plans; synchronises, so never inside a step.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <vector>

namespace paceline::cuda {

/// Device memory to time on; goes with its owner.
class TrialMemory {
 public:
  /// Filled with small numbers. @throws CudaError when there is no memory
  explicit TrialMemory(std::size_t bytes);
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
  std::size_t captured() const { return graphs_.size(); }
  /// Of one run of the k-th work captured. @throws CudaError
  double seconds(std::size_t k);

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
  std::vector<cudaGraphExec_t> graphs_;
};

}  // namespace paceline::cuda
