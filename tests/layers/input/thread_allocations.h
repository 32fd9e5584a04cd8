// How often the calling thread has allocated by operator new, which the program that links this
// replaces.
#pragma once

#include <cstddef>

namespace paceline {

std::size_t thread_allocations();

}  // namespace paceline
