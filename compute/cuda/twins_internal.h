// 16-bit twins of flat vectors. In bf16 a step reads weights and writes gradients in 16 bits, while
// protocols and optimisers see f32. A vector that an executable has read or written so has a twin;
// whoever changes one side says so, and whoever reads the other gets it made up first.
//   TW-1 At least one side is fresh. VectorMath writes the f32 side of a vector: the twin is stale,
//        but for update(), which writes both in its one pass.
//   TW-2 A training step writes the twin of its gradient: the f32 side is stale until somebody but
//        update() reads it.
//   TW-3 A vector is known by the address at which it begins; what writes a part of it from further on
//        is not noticed. Views of it may be shorter than the twin, never longer.
// A twin is used on the thread (and so the stream) of its vector's owner.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <mutex>
#include <unordered_map>

namespace paceline::cuda {

struct Twin {
  float* f32 = nullptr;
  void* bf16 = nullptr;
  std::size_t count = 0;  ///< elements
  bool f32_fresh = true, bf16_fresh = false;
};

/// All twins of one device by the address of the f32 vector. Thread-safe as a table.
class Twins {
 public:
  ~Twins();
  /// The twin of a vector, made at first sight; zero at first, as padding must stay.
  /// @throws CudaError when there is no memory
  Twin& of(float* vector, std::size_t count);
  /// Null when it has none.
  Twin* find(const void* vector);
  /// Its memory goes.
  void forget(const void* vector);

  /// Makes the f32 side fresh (converts on `stream`); nothing for vectors without a twin.
  void refresh_f32(cudaStream_t stream, const void* vector);
  /// Makes the 16-bit side fresh.
  void refresh_bf16(cudaStream_t stream, Twin& twin);
  /// Somebody has written the f32 side, or a part of it that begins here.
  void written(const void* vector);

 private:
  std::mutex mutex_;
  std::unordered_map<const void*, std::unique_ptr<Twin>> twins_;
};

}  // namespace paceline::cuda
