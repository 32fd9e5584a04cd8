// Which pixels the windows of a pooling see, and which windows see a pixel: tables, made once, from
// which both ways read. Pure.
//   PW-1 Padding is in no window; every window has a pixel.
//   PW-2 Windows and pixels are told in ascending order: of equals the first is the first in row order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace paceline::pooling {

/// [first, last) of pixels, or of windows.
struct Range {
  std::uint32_t first = 0, last = 0;
  std::size_t count() const { return last - first; }
};

/// Height or width.
struct Axis {
  /// @pre out windows of `kernel` pixels, `stride` apart, the first one `padding` before the first
  ///      pixel; padding at most half a kernel
  Axis(std::size_t in, std::size_t out, std::size_t kernel, std::size_t stride,
       std::size_t padding);
  /// A pixel's place in a window that sees it, padding counted.
  std::size_t place(std::size_t pixel, std::size_t window) const {
    return pixel + padding - window * stride;
  }
  /// Windows lie side by side from the first pixel on, each with all its pixels.
  bool tiled() const { return padding == 0 && (kernel == stride || pixels.size() == 1); }

  std::size_t kernel, stride, padding;
  std::vector<Range> pixels;   ///< of each window
  std::vector<Range> windows;  ///< of each pixel; none where windows skip it
};

/// What one channel of one image is cut into.
struct Windows {
  Axis height, width;
  std::size_t taps() const { return height.kernel * width.kernel; }
};

}  // namespace paceline::pooling
