#include "paceline/compute/cuda/input_staging_internal.h"

#include <algorithm>
#include <cstring>

namespace paceline::cuda {
namespace {

constexpr std::size_t kCut = sizeof(Cut) / sizeof(std::int32_t);

/// Copies to the device by way of pinned memory, which `host` walks along.
template <class T>
void bring(void* to, std::span<const T> from, std::byte*& host, cudaStream_t stream) {
  if (from.empty()) return;
  std::memcpy(host, from.data(), from.size_bytes());
  check(cudaMemcpyAsync(to, host, from.size_bytes(), cudaMemcpyHostToDevice, stream),
        "cudaMemcpyAsync of a batch");
  host += (from.size_bytes() + 63) / 64 * 64;
}

}  // namespace

InputStaging::InputStaging(const Shape& image, std::size_t batch) : image_(image), batch_(batch) {
  for (Buffer& buffer : buffers_) {
    buffer.labels = device_memory<std::int32_t>(batch);
    buffer.cuts = device_memory<std::int32_t>(kCut * batch);
  }
}

/// Sizes are those of the first batch of its kind: nothing is allocated later on.
void InputStaging::grow(Buffer& buffer, std::size_t bytes, std::size_t channels) {
  if (buffer.bytes >= bytes && buffer.channels >= channels) return;
  buffer.bytes = std::max(bytes, buffer.bytes);
  buffer.channels = std::max(channels, buffer.channels);
  buffer.images = device_memory<std::byte>(buffer.bytes);
  buffer.statistics = device_memory<float>(2 * buffer.channels);
  const std::size_t small = batch_ * (sizeof(Cut) + sizeof(std::int32_t)) + 8 * buffer.channels;
  buffer.host = pinned_memory<std::byte>(buffer.bytes + small + 5 * 64);
}

void InputStaging::stage(const Batch& batch) {
  last_ = 1 - last_;
  Buffer& buffer = buffers_[last_];
  check(cudaEventSynchronize(buffer.there.get()),
        "cudaEventSynchronize");  // its pinned side is free
  const std::size_t n = batch.labels.size();
  const RawBatch* const raw = batch.raw;
  const std::size_t image_bytes =
      raw != nullptr ? raw->stored.count() : image_.count() * sizeof(float);
  grow(buffer, batch_ * image_bytes, raw != nullptr ? raw->scale.size() : 0);
  std::byte* host = buffer.host.get();
  const cudaStream_t stream = stream_.get();
  buffer.batch = {};
  buffer.batch.images = buffer.images.get();
  buffer.batch.labels = buffer.labels.get();
  buffer.batch.count = n;
  if (raw != nullptr) {
    bring(buffer.images.get(), raw->images, host, stream);
    bring(buffer.cuts.get(), raw->cuts, host, stream);
    bring(buffer.statistics.get(), raw->scale, host, stream);
    bring(buffer.statistics.get() + buffer.channels, raw->shift, host, stream);
    buffer.batch.cuts = buffer.cuts.get();
    buffer.batch.scale = buffer.statistics.get();
    buffer.batch.shift = buffer.statistics.get() + buffer.channels;
    buffer.batch.stored = raw->stored;
  } else {
    bring(buffer.images.get(), batch.images, host, stream);
  }
  if (n < batch_ && raw != nullptr)  // the rest is cut, too: from inside the stored images
    check(cudaMemsetAsync(buffer.cuts.get() + kCut * n, 0,
                          kCut * sizeof(std::int32_t) * (batch_ - n), stream),
          "cudaMemsetAsync");
  if (n < batch_)
    check(cudaMemsetAsync(buffer.images.get() + n * image_bytes, 0, (batch_ - n) * image_bytes,
                          stream),
          "cudaMemsetAsync");
  bring(buffer.labels.get(), batch.labels, host, stream);
  check(cudaEventRecord(buffer.there.get(), stream), "cudaEventRecord");
  staged_ = true;
}

const StagedBatch& InputStaging::take(cudaStream_t stream) {
  staged_ = false;
  const Buffer& buffer = buffers_[last_];
  check(cudaStreamWaitEvent(stream, buffer.there.get(), 0), "cudaStreamWaitEvent");
  return buffer.batch;
}

}  // namespace paceline::cuda
