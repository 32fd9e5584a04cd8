#include "paceline/compute/cpu/mirror_internal.h"

#include <algorithm>

namespace paceline {

MirrorStep::MirrorStep(std::size_t offset, dnnl::memory mirrored)
    : offset_(offset), mirrored_(std::move(mirrored)) {
  const dnnl::memory::dims dims = mirrored_.get_desc().dims();
  inputs_ = static_cast<std::size_t>(dims[0]);
  outputs_ = static_cast<std::size_t>(dims[1]);
  taps_ = static_cast<std::size_t>(dims[2] * dims[3]);
}

void MirrorStep::run(const Pass& pass) {
  const float* const weight = pass.x + offset_;
  float* const mirrored = static_cast<float*>(mirrored_.get_data_handle());
#pragma omp parallel for schedule(static)
  for (std::ptrdiff_t output = 0; output < static_cast<std::ptrdiff_t>(outputs_); ++output) {
    const std::size_t o = static_cast<std::size_t>(output);
    for (std::size_t tap = 0; tap < taps_; ++tap)
      std::copy_n(weight + (o * taps_ + tap) * inputs_, inputs_,
                  mirrored + ((taps_ - 1 - tap) * outputs_ + o) * inputs_);
  }
}

}  // namespace paceline
