#include "paceline/compute/cuda/replay_clock_internal.h"

#include <mutex>
#include <shared_mutex>


#include "paceline/compute/cuda/cuda_error_internal.h"

namespace paceline::cuda {
namespace {

constexpr int kRunsAGraph = 4;
constexpr int kFiller = 0x3c;  // 0x3c3c is 0.011 in bf16, 0x3c3c3c3c is 0.011 in f32

}  // namespace

TrialMemory::TrialMemory(cudaStream_t stream, std::size_t bytes) {
  if (bytes == 0) return;
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "memory to time on");
  memory_.reset(memory);
  check(cudaMemsetAsync(memory, kFiller, bytes, stream), "filling memory to time on");
}

ReplayClock::ReplayClock() {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream to time on");
  check(cudaEventCreate(&start_), "an event");
  check(cudaEventCreate(&stop_), "an event");
}

ReplayClock::~ReplayClock() {
  for (auto* const graph : graphs_) cudaGraphExecDestroy(graph);
  if (stop_ != nullptr) cudaEventDestroy(stop_);
  if (start_ != nullptr) cudaEventDestroy(start_);
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

void ReplayClock::capture(const std::function<void(cudaStream_t)>& work) {
  work(stream_);  // loads the kernels, which a capture does not allow
  check(cudaStreamSynchronize(stream_), "a trial run");
  std::shared_lock capturing(capture_mutex());
  cudaGraph_t graph = nullptr;
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "a capture");
  try {
    for (int i = 0; i < kRunsAGraph; ++i) work(stream_);
  } catch (...) {
    if (cudaStreamEndCapture(stream_, &graph) == cudaSuccess && graph != nullptr)
      cudaGraphDestroy(graph);
    static_cast<void>(cudaGetLastError());  // the capture's: told by what is thrown on
    throw;
  }
  check(cudaStreamEndCapture(stream_, &graph), "a capture's end");
  capturing.unlock();
  cudaGraphExec_t exec = nullptr;
  const auto status = cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "a captured graph");
  auto replayed = cudaGraphLaunch(exec, stream_);
  if (replayed == cudaSuccess) replayed = cudaStreamSynchronize(stream_);
  if (replayed != cudaSuccess) cudaGraphExecDestroy(exec);
  check(replayed, "a captured graph");
  graphs_.push_back(exec);
}

double ReplayClock::seconds(std::size_t k) {
  check(cudaEventRecord(start_, stream_), "an event");
  check(cudaGraphLaunch(graphs_[k], stream_), "a captured graph");
  check(cudaEventRecord(stop_, stream_), "an event");
  check(cudaEventSynchronize(stop_), "a captured graph");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start_, stop_), "an event");
  return static_cast<double>(milliseconds) * 1e-3 / kRunsAGraph;
}

}  // namespace paceline::cuda
