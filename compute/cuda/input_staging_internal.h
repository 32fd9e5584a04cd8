// Batches on their way to the GPU: two buffers in turn, so that the next one travels on a stream of its
// own while the step before it computes.
//   IS-1 A batch is copied when stage() returns: its views may go.
//   IS-2 A buffer is written anew only two stage()s later, when the step that read it has been waited
//        for: whoever takes a batch finishes its step before staging twice more.
// One thread.
#pragma once

#include <array>

#include "paceline/compute/cuda/resources_internal.h"
#include "paceline/compute/device.h"

namespace paceline::cuda {

/// A batch on the GPU, or on its way there.
struct StagedBatch {
  const void* images = nullptr;        ///< [batch,H,W,C] f32, or bytes where there are cuts
  const std::int32_t* cuts = nullptr;  ///< [batch] of top, left, flip
  const float* scale = nullptr;
  const float* shift = nullptr;
  const std::int32_t* labels = nullptr;
  Shape stored;           ///< of bytes
  std::size_t count = 0;  ///< images; the rest of `batch` are zeros
};

class InputStaging {
 public:
  InputStaging(const Shape& image, std::size_t batch);
  ~InputStaging() { cudaStreamSynchronize(stream_.get()); }  // one may be on its way
  /// Begins to bring a batch of at most `batch` images.
  void stage(const Batch& batch);
  /// Whether one was staged and not taken.
  bool staged() const { return staged_; }
  /// What was staged last; `stream` waits until it is there.
  const StagedBatch& take(cudaStream_t stream);

 private:
  struct Buffer {
    DevicePointer<std::byte> images;
    DevicePointer<std::int32_t> labels, cuts;
    DevicePointer<float> statistics;  ///< scale, then shift
    PinnedPointer<std::byte> host;    ///< all of these, on their way
    std::size_t bytes = 0;            ///< of images
    std::size_t channels = 0;         ///< of statistics
    Event there;
    StagedBatch batch;
  };
  void grow(Buffer& buffer, std::size_t bytes, std::size_t channels);

  const Shape image_;
  const std::size_t batch_;
  std::array<Buffer, 2> buffers_;
  std::size_t last_ = 0;
  bool staged_ = false;
  Stream stream_;
};

}  // namespace paceline::cuda
