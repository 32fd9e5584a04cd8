// How often the calling thread has allocated by operator new, which the program that links this
// replaces, and how much it may at a time.
#pragma once

#include <cstddef>

namespace paceline {

std::size_t thread_allocations();

/// While it lives, the calling thread's allocations of more than `bytes` throw std::bad_alloc.
class AllocationLimit {
 public:
  explicit AllocationLimit(std::size_t bytes);
  ~AllocationLimit();
  AllocationLimit(const AllocationLimit&) = delete;
  AllocationLimit& operator=(const AllocationLimit&) = delete;
};

}  // namespace paceline
