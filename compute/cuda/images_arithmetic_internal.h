// What images.cu does for each element of its output: shortcuts without parameters, windows of images
// in bytes. In the form that each_element_internal.h launches.
#pragma once

#include "paceline/compute/cuda/packs_internal.h"
#include "paceline/compute/cuda/pixels_arithmetic_internal.h"
#include "paceline/compute/cuda/pointwise_internal.h"

namespace paceline::cuda {

/// ShortcutShape in the GPU's own integers.
struct ShortcutExtents {
  explicit ShortcutExtents(const ShortcutShape& shape)
      : stride(static_cast<std::uint32_t>(shape.stride)),
        in_height(static_cast<std::uint32_t>(shape.in_height)),
        in_width(static_cast<std::uint32_t>(shape.in_width)),
        in_channels(static_cast<std::uint32_t>(shape.in_channels)),
        out_height(static_cast<std::uint32_t>(shape.out_height)),
        out_width(static_cast<std::uint32_t>(shape.out_width)),
        out_channels(static_cast<std::uint32_t>(shape.out_channels)),
        before(static_cast<std::uint32_t>((shape.out_channels - shape.in_channels) / 2)) {}
  /// Whether a pack of channels is wholly of zeros or wholly of the input.
  bool packs() const {
    return in_channels % kPack == 0 && out_channels % kPack == 0 && before % kPack == 0;
  }
  std::uint32_t stride, in_height, in_width, in_channels, out_height, out_width, out_channels,
      before;
};

template <class T>
struct ShortcutElement {
  const T* x;
  T* y;
  ShortcutExtents of;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    const Pixel out = pixel_at(i, of.out_height, of.out_width, of.out_channels);
    float v[V];
    for (int j = 0; j < V; ++j) v[j] = 0;
    // Unsigned: channels before the input's wrap round to something beyond them.
    const std::uint32_t c = out.channel - of.before;
    if (c < of.in_channels) {
      const Pixel in = {out.image, out.y * of.stride, out.x * of.stride, c};
      load(x + element_at(in, of.in_height, of.in_width, of.in_channels), v);
    }
    store(y + i, v);
  }
};

template <class T>
struct ShortcutBackwardElement {
  const T* dy;
  T* dx;
  bool add;
  ShortcutExtents of;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    const Pixel in = pixel_at(i, of.in_height, of.in_width, of.in_channels);
    const std::uint32_t y = in.y / of.stride, x = in.x / of.stride;
    const bool kept =
        y * of.stride == in.y && x * of.stride == in.x && y < of.out_height && x < of.out_width;
    if (!kept && add) return;
    float d[V];
    for (int j = 0; j < V; ++j) d[j] = 0;
    if (kept) {
      const Pixel out = {in.image, y, x, in.channel + of.before};
      load(dy + element_at(out, of.out_height, of.out_width, of.out_channels), d);
    }
    if (add) {
      float old[V];
      load(dx + i, old);
      for (int j = 0; j < V; ++j) d[j] += old[j];
    }
    store(dx + i, d);
  }
};

/// CutShape in the GPU's own integers.
struct CutExtents {
  explicit CutExtents(const CutShape& shape)
      : channels(static_cast<int>(shape.channels)),
        in_height(static_cast<int>(shape.in_height)),
        in_width(static_cast<int>(shape.in_width)),
        out_height(static_cast<int>(shape.out_height)),
        out_width(static_cast<int>(shape.out_width)),
        out_channels(static_cast<int>(shape.out_channels)) {}
  int channels, in_height, in_width, out_height, out_width, out_channels;
};

/// value * scale + shift, rounded twice: RawBatch's bits.
PACELINE_HOST_DEVICE float separately(float value, float scale, float shift) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(__fmul_rn(value, scale), shift);
#else
  return value * scale + shift;
#endif
}

template <class T>
struct CutElement {
  const std::uint8_t* bytes;
  const std::int32_t* cuts;
  const float *scale, *shift;
  T* y;
  CutExtents of;
  template <int V>
  PACELINE_HOST_DEVICE void at(std::size_t i) const {
    const Pixel out = pixel_at(i, of.out_height, of.out_width, of.out_channels);
    const std::int32_t* const cut = cuts + std::size_t{out.image} * 3;  // top, left, flip
    const int column = static_cast<int>(out.x);
    const int in_y = cut[0] + static_cast<int>(out.y);
    const int in_x = cut[1] + (cut[2] != 0 ? of.out_width - 1 - column : column);
    const bool inside = in_y >= 0 && in_y < of.in_height && in_x >= 0 && in_x < of.in_width;
    const std::size_t pixel =
        inside ? (std::size_t{out.image} * of.in_height + in_y) * of.in_width + in_x : 0;
    float v[V];
    for (int j = 0; j < V; ++j) {
      const int c = static_cast<int>(out.channel) + j;
      v[j] =
          inside && c < of.channels
              ? separately(static_cast<float>(bytes[pixel * of.channels + c]), scale[c], shift[c])
              : 0.0f;
    }
    store(y + i, v);
  }
};

}  // namespace paceline::cuda
