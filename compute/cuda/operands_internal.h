// The operands of one call of VectorMath: where the GPU finds them. What it cannot reach (pageable host
// memory) is staged through scratch. Twins (twins_internal.h) are made up for what is read and told of
// what is written.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <vector>

#include "paceline/compute/cuda/twins_internal.h"
#include "paceline/compute/cuda/vector_context_internal.h"
#include "paceline/compute/vector_math.h"

namespace paceline::cuda {

/// What an address is to the GPU.
struct Reach {
  void* device = nullptr;  ///< the GPU's name for it; null: out of its reach
  bool host = false;       ///< somebody beside the GPU reads or writes it
};
Reach reach_of(const void* address);

/// Lives for one call, on its thread's stream.
class Operands {
 public:
  Operands(VectorContext& context, Twins& twins) : context_(context), twins_(twins) {}

  const float* read(ConstVector v);
  float* change(Vector v);  ///< read and written
  float* write(Vector v);   ///< written, all of it
  const std::byte* read_bytes(const std::byte* bytes, std::size_t count);
  std::byte* write_bytes(std::byte* bytes, std::size_t count);
  /// Scratch that no operand uses.
  void* scratch(std::size_t bytes) { return context_.scratch(used_++, bytes); }

  /// After the last launch: what was staged goes back, and the call ends where the host has a part in it.
  void finish();

 private:
  struct Staged {
    void* host = nullptr;
    void* device = nullptr;
    std::size_t bytes = 0;
    bool written = false;
  };
  void* reachable(const void* address, std::size_t bytes, bool reads, bool writes);

  VectorContext& context_;
  Twins& twins_;
  std::vector<Staged> staged_;
  std::size_t used_ = 0;  // scratch
  bool host_ = false;
};

}  // namespace paceline::cuda
