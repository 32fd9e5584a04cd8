// Shortcuts without parameters, and batches of bytes that are cut and normalised here. What happens
// for an element is in images_arithmetic_internal.h.
#include "paceline/compute/cuda/images_arithmetic_internal.h"

#include "paceline/compute/cuda/each_element_internal.h"

namespace paceline::cuda {

void shortcut(cudaStream_t stream, const ShortcutShape& shape, const void* x, void* y) {
  const ShortcutExtents of(shape);
  with_scalar(shape.scalar, [&](auto zero) {
    using T = decltype(zero);
    each_element(stream, ShortcutElement<T>{static_cast<const T*>(x), static_cast<T*>(y), of},
                 shape.images * shape.out_height * shape.out_width * shape.out_channels,
                 of.packs() && aligned_for_packs(x, y), "shortcut");
  });
}

void shortcut_backward(cudaStream_t stream, const ShortcutShape& shape, const void* dy, void* dx,
                       bool add) {
  const ShortcutExtents of(shape);
  with_scalar(shape.scalar, [&](auto zero) {
    using T = decltype(zero);
    each_element(
        stream, ShortcutBackwardElement<T>{static_cast<const T*>(dy), static_cast<T*>(dx), add, of},
        shape.images * shape.in_height * shape.in_width * shape.in_channels,
        of.packs() && aligned_for_packs(dy, dx), "shortcut_backward");
  });
}

void cut_images(cudaStream_t stream, const CutShape& shape, const std::uint8_t* bytes,
                const std::int32_t* cuts, const float* scale, const float* shift, void* y) {
  with_scalar(shape.scalar, [&](auto zero) {
    using T = decltype(zero);
    each_element(stream,
                 CutElement<T>{bytes, cuts, scale, shift, static_cast<T*>(y), CutExtents(shape)},
                 shape.images * shape.out_height * shape.out_width * shape.out_channels,
                 shape.out_channels % kPack == 0 && aligned_for_packs(y), "cut_images");
  });
}

}  // namespace paceline::cuda
