#include <algorithm>

#include "paceline/compute/cpu/pooling_windows_internal.h"

namespace paceline::pooling {

Axis::Axis(std::size_t in, std::size_t out, std::size_t kernel_, std::size_t stride_,
           std::size_t padding_)
    : kernel(kernel_), stride(stride_), padding(padding_) {
  const auto range = [](std::size_t first, std::size_t last) {
    return Range{static_cast<std::uint32_t>(std::min(first, last)),
                 static_cast<std::uint32_t>(last)};
  };
  for (std::size_t window = 0; window < out; ++window) {
    const std::size_t first = std::max(window * stride, padding) - padding;
    pixels.push_back(range(first, std::min(window * stride + kernel - padding, in)));
  }
  for (std::size_t pixel = 0; pixel < in; ++pixel) {
    const std::size_t at = pixel + padding;  // counted from where the first window begins
    const std::size_t first = at < kernel ? 0 : (at - kernel) / stride + 1;
    windows.push_back(range(first, std::min(at / stride + 1, out)));
  }
}

}  // namespace paceline::pooling
