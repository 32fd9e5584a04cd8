#include "layers/input/thread_allocations.h"

#include <cstdlib>
#include <new>

namespace paceline {
namespace {

thread_local std::size_t allocations = 0;

}  // namespace

std::size_t thread_allocations() { return allocations; }

}  // namespace paceline

void* operator new(std::size_t bytes) {
  ++paceline::allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
