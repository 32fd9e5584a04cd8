#include "paceline/actors/undecayed.h"

namespace paceline {

std::vector<ElementRange> undecayed_ranges(const Layout& layout) {
  std::vector<ElementRange> ranges;
  for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
    const Tensor& tensor = layout.tensors[i];
    const bool last = i + 1 == layout.tensors.size();
    const std::size_t end = last ? layout.elements : layout.tensors[i + 1].offset;
    if (tensor.dimensions.size() > 1) continue;
    if (!ranges.empty() && ranges.back().first + ranges.back().count == tensor.offset)
      ranges.back().count = end - ranges.back().first;
    else
      ranges.push_back({tensor.offset, end - tensor.offset});
  }
  return ranges;
}

}  // namespace paceline
