// One block of memory for everything that a compiled program writes besides the gradient: each
// activation, gradient of an activation, reordered tensor and workspace, and one scratchpad that
// all primitives share. Memories are planned first and lie in the block after commit(). One thread.
#pragma once

#include <cstddef>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <utility>
#include <vector>

#include "paceline/compute/device.h"

namespace paceline {

class ActivationArena {
 public:
  explicit ActivationArena(dnnl::engine engine) : engine_(std::move(engine)) {}
  /// A memory of its own; holds zeros after commit().
  dnnl::memory place(const dnnl::memory::desc& desc);
  /// A memory whose content means nothing once the primitive has run.
  dnnl::memory scratch(const dnnl::memory::desc& desc);
  /// Allocates the block and points all memories into it.
  Result<> commit();
  std::size_t bytes() const { return bytes_ + scratch_bytes_; }

 private:
  dnnl::engine engine_;
  std::vector<std::pair<dnnl::memory, std::size_t>> placed_;  // with their offsets
  std::vector<dnnl::memory> scratches_;
  std::size_t bytes_ = 0, scratch_bytes_ = 0;
  std::unique_ptr<DeviceMemory> block_;
};

}  // namespace paceline
