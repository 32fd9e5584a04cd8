// What touches each element once: bias and ReLU, additions, shortcuts, dropout, conversions, the
// input. Asynchronous on `stream`; sums over rows run in a fixed order. Unless said otherwise an
// output may be one of the inputs.
#pragma once

#include <cuda_runtime_api.h>

#include "paceline/compute/cuda/scalar_internal.h"

namespace paceline::cuda {

/// y = (y + bias) [ReLU], in place. @param y  [rows, channels], @param bias  [channels] f32 or null
void bias_relu(cudaStream_t stream, Scalar scalar, std::size_t rows, std::size_t channels, void* y,
               const float* bias, bool relu);
/// dz = dy where y > 0 (with relu), and dbias = the sum over rows of dz.
/// @param dz  null: not written; @param dbias  [channels] Scalar, or null
/// @param scratch  bias_scratch_bytes()
void bias_relu_backward(cudaStream_t stream, Scalar scalar, std::size_t rows, std::size_t channels,
                        const void* y, const void* dy, void* dz, void* dbias, bool relu,
                        void* scratch);
std::size_t bias_scratch_bytes(std::size_t rows, std::size_t channels);

/// y = max(x, 0)
void relu(cudaStream_t stream, Scalar scalar, std::size_t count, const void* x, void* y);
/// dx = dy where y > 0, else 0; or added
void relu_backward(cudaStream_t stream, Scalar scalar, std::size_t count, const void* y,
                   const void* dy, void* dx, bool add);
/// y = a + b [ReLU]
void add(cudaStream_t stream, Scalar scalar, std::size_t count, const void* a, const void* b,
         void* y, bool relu);
/// y += x
void accumulate(cudaStream_t stream, Scalar scalar, std::size_t count, const void* x, void* y);

/// PaddedShortcut: every stride-th pixel, channels of zeros before and after.
struct ShortcutShape {
  std::size_t images = 0, stride = 2;
  std::size_t in_height = 0, in_width = 0, in_channels = 0;
  std::size_t out_height = 0, out_width = 0, out_channels = 0;
  Scalar scalar = Scalar::f32;
};
void shortcut(cudaStream_t stream, const ShortcutShape& shape, const void* x, void* y);
void shortcut_backward(cudaStream_t stream, const ShortcutShape& shape, const void* dy, void* dx,
                       bool add);

/// y = x * mask, the masks of compute/dropout_mask_internal.h bit for bit. The seed lies in device
/// memory, so that a captured graph draws others at each step. Its own way back.
void dropout(cudaStream_t stream, Scalar scalar, std::size_t count, const void* x, void* y,
             const std::uint64_t* seed, std::size_t operation, double probability, bool add);

/// to[i] = from[i]; rounds to nearest even.
void convert(cudaStream_t stream, Scalar from_scalar, const void* from, Scalar to_scalar, void* to,
             std::size_t count);
/// Rows of `from_channels` become rows of `to_channels`: cut, or filled up with zeros.
void pad_channels(cudaStream_t stream, Scalar from_scalar, const void* from,
                  std::size_t from_channels, Scalar to_scalar, void* to, std::size_t to_channels,
                  std::size_t rows);

/// One batch in bytes with how to cut each image (layers/input): what the GPU augments itself.
struct CutShape {
  std::size_t images = 0, channels = 0;
  std::size_t in_height = 0, in_width = 0;    ///< of the set's images
  std::size_t out_height = 0, out_width = 0;  ///< of the network's
  std::size_t out_channels = 0;               ///< stored; beyond `channels` zeros
  Scalar scalar = Scalar::f32;
};
/// y = byte * scale[channel] + shift[channel] of each pixel of the window, 0 outside of the image.
/// @param bytes  [images, in_height, in_width, channels]; all pointers to device memory
/// @param cuts  [images] of top, left, flip: paceline::Cut
void cut_images(cudaStream_t stream, const CutShape& shape, const std::uint8_t* bytes,
                const std::int32_t* cuts, const float* scale, const float* shift, void* y);

}  // namespace paceline::cuda
