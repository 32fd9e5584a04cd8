// The clocks that a run's figures are made of.
#pragma once

#include <chrono>
#include <cstdint>

namespace paceline {

/// CPU seconds of the calling thread.
double thread_cpu_seconds();
/// Monotonic wall-clock seconds from an arbitrary start.
double wall_seconds();
/// Lowers the calling thread's priority, so that it takes what others leave. Silently does nothing
/// where forbidden.
void lower_thread_priority();

}  // namespace paceline
