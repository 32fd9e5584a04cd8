// What pooling.cu does for each element of its output, in the form that each_element_internal.h
// launches: forward an output pixel's window, backward all windows that an input pixel lies in. Both
// go in row order.
#pragma once

#include "paceline/compute/cuda/packs_internal.h"
#include "paceline/compute/cuda/pixels_arithmetic_internal.h"
#include "paceline/compute/cuda/pooling_internal.h"

namespace paceline::cuda {

/// PoolShape in the GPU's own integers.
struct PoolExtents {
  explicit PoolExtents(const PoolShape& shape)
      : channels(static_cast<int>(shape.channels)),
        in_height(static_cast<int>(shape.in_height)),
        in_width(static_cast<int>(shape.in_width)),
        out_height(static_cast<int>(shape.out_height)),
        out_width(static_cast<int>(shape.out_width)),
        kernel_height(static_cast<int>(shape.kernel_height)),
        kernel_width(static_cast<int>(shape.kernel_width)),
        stride(static_cast<int>(shape.stride)),
        padding(static_cast<int>(shape.padding)) {}

  int channels, in_height, in_width, out_height, out_width, kernel_height, kernel_width, stride,
      padding;
};

/// [first, last) along one axis.
struct Stretch {
  int first, last;
};
/// The input pixels of an output pixel's window that lie in the image.
PACELINE_HOST_DEVICE Stretch window_of(int out, int kernel, int stride, int padding,
                                       int in_extent) {
  const int from = out * stride - padding, to = from + kernel;
  return {from < 0 ? 0 : from, to > in_extent ? in_extent : to};
}
/// The output pixels whose windows hold an input pixel.
PACELINE_HOST_DEVICE Stretch windows_over(int in, int kernel, int stride, int padding,
                                          int out_extent) {
  const int reach = in + padding, beyond = reach - kernel;  // the last window that has passed by
  const int last = reach / stride + 1;
  return {beyond < 0 ? 0 : beyond / stride + 1, last > out_extent ? out_extent : last};
}

template <class T>
struct MaxPoolElement {
  const T* x;
  T* y;
  std::uint8_t* winners;  ///< may be null
  PoolExtents of;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    const Pixel out = pixel_at(i, of.out_height, of.out_width, of.channels);
    const int top = static_cast<int>(out.y) * of.stride - of.padding;
    const int left = static_cast<int>(out.x) * of.stride - of.padding;
    const Stretch rows = window_of(out.y, of.kernel_height, of.stride, of.padding, of.in_height);
    const Stretch columns = window_of(out.x, of.kernel_width, of.stride, of.padding, of.in_width);
    float best[V];
    std::uint8_t winner[V];
    for (int j = 0; j < V; ++j) best[j] = 0, winner[j] = 0;
    bool first = true;
    for (int iy = rows.first; iy < rows.last; ++iy)
      for (int ix = columns.first; ix < columns.last; ++ix) {
        const Pixel in = {out.image, static_cast<std::uint32_t>(iy), static_cast<std::uint32_t>(ix),
                          out.channel};
        float v[V];
        load(x + element_at(in, of.in_height, of.in_width, of.channels), v);
        const int place = (iy - top) * of.kernel_width + (ix - left);
        for (int j = 0; j < V; ++j)
          if (first || v[j] > best[j]) {
            best[j] = v[j];
            winner[j] = static_cast<std::uint8_t>(place);
          }
        first = false;
      }
    store(y + i, best);
    if (winners != nullptr) store(winners + i, winner);
  }
};

template <class T>
struct MaxPoolBackwardElement {
  const T* dy;
  const std::uint8_t* winners;
  T* dx;
  bool add;
  PoolExtents of;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    const Pixel in = pixel_at(i, of.in_height, of.in_width, of.channels);
    const Stretch rows = windows_over(in.y, of.kernel_height, of.stride, of.padding, of.out_height);
    const Stretch columns =
        windows_over(in.x, of.kernel_width, of.stride, of.padding, of.out_width);
    float sum[V];
    for (int j = 0; j < V; ++j) sum[j] = 0;
    for (int oy = rows.first; oy < rows.last; ++oy)
      for (int ox = columns.first; ox < columns.last; ++ox) {
        const Pixel out = {in.image, static_cast<std::uint32_t>(oy), static_cast<std::uint32_t>(ox),
                           in.channel};
        const std::size_t o = element_at(out, of.out_height, of.out_width, of.channels);
        const int ky = static_cast<int>(in.y) + of.padding - oy * of.stride;
        const int kx = static_cast<int>(in.x) + of.padding - ox * of.stride;
        const int place = ky * of.kernel_width + kx;
        std::uint8_t winner[V];
        float d[V];
        load(winners + o, winner);
        load(dy + o, d);
        for (int j = 0; j < V; ++j)
          if (winner[j] == place) sum[j] += d[j];
      }
    if (add) {
      float old[V];
      load(dx + i, old);
      for (int j = 0; j < V; ++j) sum[j] += old[j];
    }
    store(dx + i, sum);
  }
};

template <class T>
struct AveragePoolElement {
  const T* x;
  T* y;
  PoolExtents of;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    const Pixel out = pixel_at(i, of.out_height, of.out_width, of.channels);
    const Stretch rows = window_of(out.y, of.kernel_height, of.stride, 0, of.in_height);
    const Stretch columns = window_of(out.x, of.kernel_width, of.stride, 0, of.in_width);
    float sum[V];
    for (int j = 0; j < V; ++j) sum[j] = 0;
    for (int iy = rows.first; iy < rows.last; ++iy)
      for (int ix = columns.first; ix < columns.last; ++ix) {
        const Pixel in = {out.image, static_cast<std::uint32_t>(iy), static_cast<std::uint32_t>(ix),
                          out.channel};
        float v[V];
        load(x + element_at(in, of.in_height, of.in_width, of.channels), v);
        for (int j = 0; j < V; ++j) sum[j] += v[j];
      }
    const float window = static_cast<float>(of.kernel_height * of.kernel_width);
    for (int j = 0; j < V; ++j) sum[j] /= window;
    store(y + i, sum);
  }
};

template <class T>
struct AveragePoolBackwardElement {
  const T* dy;
  T* dx;
  bool add;
  PoolExtents of;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    const Pixel in = pixel_at(i, of.in_height, of.in_width, of.channels);
    const Stretch rows = windows_over(in.y, of.kernel_height, of.stride, 0, of.out_height);
    const Stretch columns = windows_over(in.x, of.kernel_width, of.stride, 0, of.out_width);
    float sum[V];
    for (int j = 0; j < V; ++j) sum[j] = 0;
    for (int oy = rows.first; oy < rows.last; ++oy)
      for (int ox = columns.first; ox < columns.last; ++ox) {
        const Pixel out = {in.image, static_cast<std::uint32_t>(oy), static_cast<std::uint32_t>(ox),
                           in.channel};
        float d[V];
        load(dy + element_at(out, of.out_height, of.out_width, of.channels), d);
        for (int j = 0; j < V; ++j) sum[j] += d[j];
      }
    const float window = static_cast<float>(of.kernel_height * of.kernel_width);
    for (int j = 0; j < V; ++j) sum[j] /= window;
    if (add) {
      float old[V];
      load(dx + i, old);
      for (int j = 0; j < V; ++j) sum[j] += old[j];
    }
    store(dx + i, sum);
  }
};

}  // namespace paceline::cuda
