// The loops of BatchNorm over a stretch of rows: pure, vectorised, one thread, in the order of memory.
// Coefficients and sums are per lane of each block.
//   BK-1 The ReLU's mask of a backward pass is what its forward pass decided: both compute
//        (y - mean) * scale + bias in the same way, or the backward pass reads the output.
#pragma once

#include <cstddef>

namespace paceline::batch_norm {

/// What one call sees: of each of `images` images, `stride` floats apart, `blocks` blocks one behind the
/// other of `rows` rows of `lanes` neighbouring floats.
struct Stretch {
  std::size_t images = 1, stride = 0;
  std::size_t blocks = 1, rows = 0, lanes = 0;
};

/// [blocks][lanes].
struct Coefficients {
  const float* mean = nullptr;
  const float* scale = nullptr;  ///< weight / sqrt(variance + epsilon)
  const float* bias = nullptr;
};

/// sum += y - pivot, squares += (y - pivot)^2.
void add_statistics(Stretch s, const float* y, const float* pivot, float* sum, float* squares);

/// z = (y - mean) * scale + bias [+ other], [max 0].
/// @param other  may be null
void normalise(Stretch s, const float* y, const float* other, const Coefficients& c, bool relu,
               float* z);

/// How a gradient passes the ReLU behind a BatchNorm.
enum class Mask { none, recomputed, from_output };

/// What both backward passes read: dz = (first [+ second]) where the mask lets it through.
struct GradientSource {
  const float* first = nullptr;
  const float* second = nullptr;  ///< may be null
  const float* output = nullptr;  ///< z, for Mask::from_output
  Mask mask = Mask::none;
};

/// sum += dz, products += dz * (y - mean).
/// @param dz  where dz goes, or null; may be one of the sources
void add_gradient_sums(Stretch s, const GradientSource& source, const float* y,
                       const Coefficients& c, float* dz, float* sum, float* products);

/// dy = scale * dz + (y - mean) * slope + shift. @param dy  may be one of the sources
void normalise_gradient(Stretch s, const GradientSource& source, const float* y,
                        const Coefficients& c, const float* slope, const float* shift, float* dy);

}  // namespace paceline::batch_norm
