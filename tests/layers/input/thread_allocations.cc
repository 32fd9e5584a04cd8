#include "layers/input/thread_allocations.h"

#include <cstdlib>
#include <limits>
#include <new>

namespace paceline {
namespace {

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
thread_local std::size_t allocations = 0, limit = kUnlimited;

}  // namespace

std::size_t thread_allocations() { return allocations; }

AllocationLimit::AllocationLimit(std::size_t bytes) { limit = bytes; }
AllocationLimit::~AllocationLimit() { limit = kUnlimited; }

}  // namespace paceline

void* operator new(std::size_t bytes) {
  ++paceline::allocations;
  if (bytes > paceline::limit) throw std::bad_alloc();
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
