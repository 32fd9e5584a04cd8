#include "paceline/compute/cuda/vector_context_internal.h"

#include "paceline/compute/cuda/cuda_error_internal.h"

namespace paceline::cuda {

GrowingMemory::GrowingMemory(GrowingMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
GrowingMemory::~GrowingMemory() { cudaFree(data_); }
void* GrowingMemory::of(std::size_t bytes) {
  if (bytes <= bytes_) return data_;
  cudaFree(std::exchange(data_, nullptr));  // waits for whoever still uses it
  bytes_ = 0;
  check(cudaMalloc(&data_, bytes), "cudaMalloc of scratch for vectors");
  bytes_ = bytes;
  return data_;
}

Snapshot::Snapshot() {
  check(cudaEventCreateWithFlags(&taken, cudaEventDisableTiming), "cudaEventCreate");
  check(cudaEventCreateWithFlags(&copied, cudaEventDisableTiming), "cudaEventCreate");
}
Snapshot::~Snapshot() {
  cudaEventDestroy(taken);
  cudaEventDestroy(copied);
}

VectorContext::VectorContext() {
  check(cudaStreamCreateWithFlags(&side_, cudaStreamNonBlocking), "cudaStreamCreate");
  void* result = nullptr;
  check(cudaMallocHost(&result, sizeof(VectorSums)), "cudaMallocHost");
  result_ = new (result) VectorSums;
}
VectorContext::~VectorContext() {
  cudaStreamSynchronize(side_);
  cudaStreamDestroy(side_);
  cudaFreeHost(result_);
}

void* VectorContext::scratch(std::size_t index, std::size_t bytes) {
  while (scratch_.size() <= index) scratch_.emplace_back();
  return scratch_[index].of(bytes);
}

std::unique_ptr<Snapshot> VectorContext::take_snapshot() {
  const std::lock_guard lock(mutex_);
  if (snapshots_.empty()) return std::make_unique<Snapshot>();
  std::unique_ptr<Snapshot> snapshot = std::move(snapshots_.back());
  snapshots_.pop_back();
  return snapshot;
}
void VectorContext::give_back(std::unique_ptr<Snapshot> snapshot) {
  const std::lock_guard lock(mutex_);
  snapshots_.push_back(std::move(snapshot));
}

std::shared_ptr<VectorContext> VectorContexts::mine() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  const std::lock_guard lock(mutex_);
  std::shared_ptr<VectorContext>& context = contexts_[{std::this_thread::get_id(), device}];
  if (context == nullptr) context = std::make_shared<VectorContext>();
  return context;
}

namespace {

class CopyUnderWay final : public PendingCopy {
 public:
  CopyUnderWay(std::shared_ptr<VectorContext> context, std::unique_ptr<Snapshot> snapshot)
      : context_(std::move(context)), snapshot_(std::move(snapshot)) {}
  ~CopyUnderWay() override {
    cudaEventSynchronize(snapshot_->copied);
    context_->give_back(std::move(snapshot_));
  }
  bool done() override {
    const cudaError_t status = cudaEventQuery(snapshot_->copied);
    if (status == cudaErrorNotReady) return false;
    check(status, "a copy beside the thread's stream");
    return true;
  }

 private:
  const std::shared_ptr<VectorContext> context_;
  std::unique_ptr<Snapshot> snapshot_;
};

}  // namespace

std::unique_ptr<PendingCopy> copy_beside(const std::shared_ptr<VectorContext>& context, void* y,
                                         const void* x, std::size_t bytes, bool y_is_host) {
  const cudaStream_t stream = cudaStreamPerThread, side = context->side();
  std::unique_ptr<Snapshot> snapshot = context->take_snapshot();
  if (y_is_host) {
    void* const kept = snapshot->memory.of(bytes);
    check(cudaMemcpyAsync(kept, x, bytes, cudaMemcpyDeviceToDevice, stream), "begin_copy");
    check(cudaEventRecord(snapshot->taken, stream), "begin_copy");
    check(cudaStreamWaitEvent(side, snapshot->taken, 0), "begin_copy");
    check(cudaMemcpyAsync(y, kept, bytes, cudaMemcpyDefault, side), "begin_copy");
    check(cudaEventRecord(snapshot->copied, side), "begin_copy");
  } else {
    check(cudaMemcpyAsync(y, x, bytes, cudaMemcpyDefault, stream), "begin_copy");
    check(cudaEventRecord(snapshot->copied, stream), "begin_copy");
  }
  return std::make_unique<CopyUnderWay>(context, std::move(snapshot));
}

}  // namespace paceline::cuda
