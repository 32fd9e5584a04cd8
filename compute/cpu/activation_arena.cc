#include "paceline/compute/cpu/activation_arena_internal.h"

#include <algorithm>
#include <limits>

#include "paceline/compute/host_memory_internal.h"
#include "paceline/compute/placement_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kAlignment = 64;

}  // namespace

dnnl::memory ActivationArena::place(const dnnl::memory::desc& desc) {
  dnnl::memory memory(desc, engine_, DNNL_MEMORY_NONE);
  index_.emplace(memory.get(), entries_.size());
  entries_.push_back({.views = {memory}, .bytes = desc.get_size()});
  return memory;
}

dnnl::memory ActivationArena::view(const dnnl::memory& of, const dnnl::memory::desc& desc) {
  dnnl::memory memory(desc, engine_, DNNL_MEMORY_NONE);
  const std::size_t entry = index_.at(of.get());
  index_.emplace(memory.get(), entry);
  entries_[entry].views.push_back(memory);
  return memory;
}

void ActivationArena::use(const dnnl::memory& memory) {
  const auto it = index_.find(memory.get());
  if (it == index_.end()) return;
  Entry& entry = entries_[it->second];
  if (!entry.used) entry.first = step_;
  entry.used = true;
  entry.last = std::max(entry.last, step_);
}

void ActivationArena::keep(const dnnl::memory& memory) {
  use(memory);
  if (const auto it = index_.find(memory.get()); it != index_.end())
    entries_[it->second].last = std::numeric_limits<std::size_t>::max();
}

Result<> ActivationArena::commit() {
  std::vector<Lifetime> lives;
  for (const Entry& entry : entries_)
    lives.push_back({entry.used ? entry.bytes : 0, entry.first, entry.last});
  const Placement placement = paceline::place(lives, kAlignment);
  bytes_ = placement.bytes;
  PACELINE_TRY(block_, allocate_host_memory(bytes_));
  std::byte* const base = static_cast<std::byte*>(block_->data());
  for (std::size_t e = 0; e < entries_.size(); ++e)
    for (dnnl::memory& view : entries_[e].views)
      if (entries_[e].used) view.set_data_handle(base + placement.offsets[e]);
  return success();
}

}  // namespace paceline
