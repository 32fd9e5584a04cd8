// Memory of another kind than an arena's that the buffers of slots may lie in, such as an
// accelerator's: net/ knows what it needs of it, others implement it. Threading: allocate() and share()
// by the arena's creator, borrow() in any process, one call at a time.
//   BM-1 Each process has the memory at an address of its own; the bytes are the same, and what was
//        written before a publish is there for who pins after it.
//   BM-2 It lives as long as its block in the process that allocated it: borrowed blocks go first.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "paceline/result.h"

namespace paceline {

/// What other processes find a block by; opaque.
struct BufferHandle {
  std::array<std::byte, 64> bytes{};
};

/// Memory that was allocated or borrowed; goes with its owner. May outlive its BufferMemory.
class BufferBlock {
 public:
  virtual ~BufferBlock() = default;
  virtual std::byte* data() = 0;  ///< in this process; on a cache line
};

class BufferMemory {
 public:
  virtual ~BufferMemory() = default;
  /// @param bytes  above 0; zero at first
  virtual Result<std::unique_ptr<BufferBlock>> allocate(std::size_t bytes) = 0;
  /// @param block  of allocate()
  virtual Result<BufferHandle> share(BufferBlock& block) = 0;
  /// @param handle  another process's
  virtual Result<std::unique_ptr<BufferBlock>> borrow(const BufferHandle& handle,
                                                      std::size_t bytes) = 0;
};

}  // namespace paceline
