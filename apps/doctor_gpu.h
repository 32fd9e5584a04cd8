// What `paceline doctor` says about the GPU backend.
#pragma once

#include <string>

#include "paceline/apps/finding.h"
#include "paceline/compute/device.h"

namespace paceline {

/// What decides the remedy where GPUs cannot be used.
struct GpuSurroundings {
  bool built = false;       ///< this build made the backend
  std::string driver = {};  ///< the kernel's word for the NVIDIA driver that is loaded; empty: none
  std::string visible = {};  ///< "CUDA_VISIBLE_DEVICES=..." where that is set; else empty
};
GpuSurroundings gpu_surroundings();

/// @param cuda  what opening the backend came to
Finding gpu_finding(const BackendStatus& cuda, const GpuSurroundings& around);

}  // namespace paceline
