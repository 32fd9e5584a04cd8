#include <algorithm>

#include "paceline/compute/cpu/activation_arena_internal.h"
#include "paceline/compute/host_memory_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kAlignment = 64;

std::size_t rounded(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

dnnl::memory ActivationArena::place(const dnnl::memory::desc& desc) {
  placed_.emplace_back(dnnl::memory(desc, engine_, DNNL_MEMORY_NONE), bytes_);
  bytes_ += rounded(desc.get_size());
  return placed_.back().first;
}

dnnl::memory ActivationArena::scratch(const dnnl::memory::desc& desc) {
  scratch_bytes_ = std::max(scratch_bytes_, rounded(desc.get_size()));
  return scratches_.emplace_back(dnnl::memory(desc, engine_, DNNL_MEMORY_NONE));
}

Result<> ActivationArena::commit() {
  PACELINE_TRY(block_, allocate_host_memory(bytes()));
  std::byte* const base = static_cast<std::byte*>(block_->data());
  for (auto& [memory, offset] : placed_) memory.set_data_handle(base + offset);
  for (dnnl::memory& memory : scratches_) memory.set_data_handle(base + bytes_);
  return success();
}

}  // namespace paceline
