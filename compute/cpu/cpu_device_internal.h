// The device "cpu": oneDNN on exactly DeviceOptions::threads cores, f32. compile() and every call of
// an Executable set the calling thread's OpenMP count to it. For one thread count and the same
// convolution algorithms (CompileOptions::deterministic pins them), the same input gives the same
// bits.
// A step allocates nothing of ours. oneDNN 2.6 does inside its calls: a map of each primitive's
// arguments (about a hundred bytes an entry), and packing buffers of its gemm, which runs linear
// layers; all scratchpads that it lets a caller provide lie in the activation arena.
#pragma once

#include <memory>

#include "paceline/compute/device.h"

namespace paceline {

std::unique_ptr<Device> make_cpu_device(const DeviceOptions& options);

}  // namespace paceline
