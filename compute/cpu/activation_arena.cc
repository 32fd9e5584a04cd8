#include "paceline/compute/cpu/activation_arena_internal.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "paceline/compute/host_memory_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kAlignment = 64;

std::size_t rounded(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

dnnl::memory ActivationArena::place(const dnnl::memory::desc& desc) {
  dnnl::memory memory(desc, engine_, DNNL_MEMORY_NONE);
  index_.emplace(memory.get(), entries_.size());
  entries_.push_back({.views = {memory}, .bytes = rounded(desc.get_size())});
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
  // Largest first, each at the lowest offset that is free all its life.
  std::vector<std::size_t> order(entries_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{},
                           [&](std::size_t e) { return entries_[e].bytes; });
  std::vector<const Entry*> placed;  // by offset
  for (const std::size_t e : order) {
    Entry& entry = entries_[e];
    if (!entry.used) continue;
    for (const Entry* other : placed) {
      if (other->last < entry.first || entry.last < other->first) continue;
      if (entry.offset + entry.bytes <= other->offset) break;
      entry.offset = std::max(entry.offset, other->offset + other->bytes);
    }
    bytes_ = std::max(bytes_, entry.offset + entry.bytes);
    placed.insert(std::ranges::upper_bound(placed, entry.offset, {}, &Entry::offset), &entry);
  }
  PACELINE_TRY(block_, allocate_host_memory(bytes_));
  std::byte* const base = static_cast<std::byte*>(block_->data());
  for (Entry& entry : entries_)
    for (dnnl::memory& view : entry.views)
      if (entry.used) view.set_data_handle(base + entry.offset);
  return success();
}

}  // namespace paceline
