// Host memory that a device reads and writes in place, for as long as this lives. Move-only. Threading:
// one thread at a time.
#pragma once

#include <span>
#include <utility>

#include "paceline/compute/device.h"

namespace paceline {

class MappedMemory {
 public:
  /// @param device, memory  outlive this
  static Result<MappedMemory> map(Device& device, std::span<std::byte> memory) {
    PACELINE_TRYV(device.map_host(memory));
    return MappedMemory(device, memory);
  }
  MappedMemory(MappedMemory&& other) noexcept
      : device_(std::exchange(other.device_, nullptr)), memory_(other.memory_) {}
  MappedMemory& operator=(MappedMemory&&) = delete;
  ~MappedMemory() {
    if (device_ != nullptr) device_->unmap_host(memory_);
  }

 private:
  MappedMemory(Device& device, std::span<std::byte> memory) : device_(&device), memory_(memory) {}
  Device* device_;
  std::span<std::byte> memory_;
};

}  // namespace paceline
