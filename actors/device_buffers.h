// An accelerator's memory as net/ sees it: where the buffers of slots lie that many processes read.
// Threading: as BufferMemory has it.
//   DB-1 What is allocated for a worker lies on the accelerator that the worker computes on; the
//        calling thread stays with its own.
#pragma once

#include "paceline/actors/place.h"
#include "paceline/compute/device.h"
#include "paceline/net/buffer_memory.h"

namespace paceline {

class DeviceBuffers final : public BufferMemory {
 public:
  /// @param device  outlives this and all blocks; @param near  for whom to allocate
  DeviceBuffers(Device& device, Rank near) : device_(device), near_(near) {}

  Result<std::unique_ptr<BufferBlock>> allocate(std::size_t bytes) override;
  Result<BufferHandle> share(BufferBlock& block) override;
  Result<std::unique_ptr<BufferBlock>> borrow(const BufferHandle& handle,
                                              std::size_t bytes) override;

 private:
  Device& device_;
  const Rank near_;
};

}  // namespace paceline
