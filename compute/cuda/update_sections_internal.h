// An update of any number of undecayed ranges as launches that each take as many as they have room for.
#pragma once

#include <span>

#include "paceline/compute/cuda/vector_kernels_internal.h"
#include "paceline/result.h"

namespace paceline::cuda {

/// @param whole  of elements [0, count), without ranges
template <class G>
void launch_sections(cudaStream_t stream, const UpdateElement<G>& whole,
                     std::span<const ElementRange> undecayed, std::size_t count) {
  PACELINE_CHECK(count < (std::size_t{1} << 32), "an update of {} elements", count);
  for (std::size_t begin = 0; begin < count;) {
    UpdateElement<G> section = whole;
    const std::size_t end = take_ranges(section.undecayed, undecayed, begin, count);
    section.x += begin;
    if (section.m != nullptr) section.m += begin;
    section.g += begin;
    if (section.x16 != nullptr) section.x16 += begin;
    for (int p = 0; p < section.pulls; ++p) section.leaders[p] += begin;
    launch(stream, section, end - begin);
    begin = end;
  }
}

}  // namespace paceline::cuda
