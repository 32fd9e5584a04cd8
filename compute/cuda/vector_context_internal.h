// What one thread's VectorMath keeps on one GPU: scratch, numbers that come back, and copies that go on
// beside the thread's stream. Everything grows to what is needed and is then used again.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "paceline/compute/cuda/code_arithmetic_internal.h"
#include "paceline/compute/vector_math.h"

namespace paceline::cuda {

/// Owns device memory (cudaMalloc) that may be asked to be larger.
class GrowingMemory {
 public:
  GrowingMemory() = default;
  GrowingMemory(GrowingMemory&& other) noexcept;
  GrowingMemory& operator=(GrowingMemory&&) = delete;
  ~GrowingMemory();
  /// At least so many bytes; what was there is lost when it grows.
  /// @throws CudaError when there is no memory
  void* of(std::size_t bytes);

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// One copy under way: what was to be copied as it was, and the events around it.
class Snapshot {
 public:
  Snapshot();
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  GrowingMemory memory;
  cudaEvent_t taken = nullptr, copied = nullptr;
};

/// One thread uses it; only snapshots come back from anywhere.
class VectorContext {
 public:
  VectorContext();
  ~VectorContext();
  VectorContext(const VectorContext&) = delete;
  VectorContext& operator=(const VectorContext&) = delete;

  /// Device memory number `index`, valid until it is asked for again.
  void* scratch(std::size_t index, std::size_t bytes);
  /// Where a kernel leaves what the host then reads: pinned.
  VectorSums* result() { return result_; }
  /// Beside all other streams.
  cudaStream_t side() const { return side_; }

  std::unique_ptr<Snapshot> take_snapshot();
  void give_back(std::unique_ptr<Snapshot> snapshot);

 private:
  std::vector<GrowingMemory> scratch_;
  VectorSums* result_ = nullptr;
  cudaStream_t side_ = nullptr;
  std::mutex mutex_;  // of the snapshots
  std::vector<std::unique_ptr<Snapshot>> snapshots_;
};

/// The contexts of all threads and GPUs. Thread-safe.
class VectorContexts {
 public:
  /// Of the calling thread on its current GPU.
  std::shared_ptr<VectorContext> mine();

 private:
  std::mutex mutex_;
  std::map<std::pair<std::thread::id, int>, std::shared_ptr<VectorContext>> contexts_;
};

/// Copies x as it is now to y, which the GPU can reach: a host's memory by a snapshot and the side
/// stream, a device's in the thread's stream.
/// @param y_is_host  whether the copy is to go on beside the thread's stream
std::unique_ptr<PendingCopy> copy_beside(const std::shared_ptr<VectorContext>& context, void* y,
                                         const void* x, std::size_t bytes, bool y_is_host);

}  // namespace paceline::cuda
