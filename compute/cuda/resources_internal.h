// Owners of what CUDA hands out. Move-only; made on the calling thread's GPU; they throw CudaError when
// there is none to be had.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <shared_mutex>
#include <utility>

#include "paceline/compute/cuda/cuda_error_internal.h"

namespace paceline::cuda {

struct FreeDevice {
  void operator()(void* memory) const { cudaFree(memory); }
};
struct FreePinned {
  void operator()(void* memory) const { cudaFreeHost(memory); }
};
template <class T>
using DevicePointer = std::unique_ptr<T, FreeDevice>;
template <class T>
using PinnedPointer = std::unique_ptr<T, FreePinned>;

/// Device memory for `count` Ts; null for none.
template <class T>
DevicePointer<T> device_memory(std::size_t count) {
  void* memory = nullptr;
  if (count > 0) check(cudaMalloc(&memory, count * sizeof(T)), "cudaMalloc");
  return DevicePointer<T>(static_cast<T*>(memory));
}
/// Host memory that the GPU copies from and to by itself.
template <class T>
PinnedPointer<T> pinned_memory(std::size_t count) {
  void* memory = nullptr;
  if (count > 0)
    check(cudaHostAlloc(&memory, count * sizeof(T), cudaHostAllocPortable), "cudaHostAlloc");
  return PinnedPointer<T>(static_cast<T*>(memory));
}

/// A stream that waits for no other by itself.
class Stream {
 public:
  Stream() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  }
  ~Stream() {
    if (stream_) cudaStreamDestroy(stream_);
  }
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  /// @param timed  with a clock, for cudaEventElapsedTime
  explicit Event(bool timed = false) {
    check(cudaEventCreateWithFlags(&event_, timed ? cudaEventDefault : cudaEventDisableTiming),
          "cudaEventCreate");
  }
  ~Event() {
    if (event_) cudaEventDestroy(event_);
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

/// A captured step, ready to launch.
class Graph {
 public:
  /// What `enqueue(stream)` puts on a stream of ours. It must neither wait nor allocate there.
  template <class Enqueue>
  static Graph capture(cudaStream_t stream, const Enqueue& enqueue) {
    const std::shared_lock capturing(capture_mutex());
    cudaGraph_t graph = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
          "cudaStreamBeginCapture");
    try {
      enqueue(stream);
    } catch (...) {
      cudaStreamEndCapture(stream, &graph);
      if (graph) cudaGraphDestroy(graph);
      static_cast<void>(cudaGetLastError());
      throw;
    }
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    Graph captured;
    const cudaError_t status = cudaGraphInstantiate(&captured.graph_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "cudaGraphInstantiate");
    return captured;
  }
  ~Graph() {
    if (graph_) cudaGraphExecDestroy(graph_);
  }
  Graph(Graph&& other) noexcept : graph_(std::exchange(other.graph_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(graph_, other.graph_);
    return *this;
  }
  void launch(cudaStream_t stream) const {
    check(cudaGraphLaunch(graph_, stream), "cudaGraphLaunch");
  }

 private:
  Graph() = default;
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace paceline::cuda
