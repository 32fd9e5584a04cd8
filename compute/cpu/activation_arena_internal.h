// One block of memory for everything that a compiled program writes besides the gradient:
// activations, their gradients, reordered tensors, workspaces, scratchpads.
//   AA-1 A memory is live from the first to the last step that uses it; memories that are never live
//        at once share the block's bytes.
//   AA-2 What a memory holds before its first use means nothing.
// One thread.
#pragma once

#include <cstddef>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

#include "paceline/compute/device.h"

namespace paceline {

class ActivationArena {
 public:
  explicit ActivationArena(dnnl::engine engine) : engine_(std::move(engine)) {}
  /// A memory of its own, which lies somewhere after commit().
  dnnl::memory place(const dnnl::memory::desc& desc);
  /// The same bytes in other words: a use of one is a use of the other.
  dnnl::memory view(const dnnl::memory& of, const dnnl::memory::desc& desc);
  /// The step that now uses memories is over; the next one begins.
  void next_step() { ++step_; }
  /// The current step reads or writes this memory; nothing for memories from elsewhere.
  void use(const dnnl::memory& memory);
  /// Nothing may share its bytes, from its first use on: it is read after the last step.
  void keep(const dnnl::memory& memory);
  /// Allocates the block and points all memories into it.
  Result<> commit();
  std::size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::vector<dnnl::memory> views;  // the first is what was placed
    std::size_t bytes = 0;
    std::size_t first = 0, last = 0;  // steps
    bool used = false;
  };
  dnnl::engine engine_;
  std::vector<Entry> entries_;
  std::unordered_map<dnnl_memory_t, std::size_t> index_;
  std::size_t step_ = 0;
  std::size_t bytes_ = 0;
  std::unique_ptr<DeviceMemory> block_;
};

}  // namespace paceline
