// Resizes a part of an image to the network's size and normalises it, in one go. Bilinear, the
// filter widened where the image shrinks (antialiased), as PIL and torchvision do it; nothing is
// rounded to bytes in between, so that a value may differ from theirs by one level of 255.
// One thread; allocates only when an image needs more weights or columns than any before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "paceline/compute/program.h"
#include "paceline/layers/input/decoded_image_internal.h"

namespace paceline {

/// A part of an image, in its pixels; perhaps in fractions of them. Inside the image.
struct ImageBox {
  double left = 0, top = 0, width = 0, height = 0;
};

class Resampler {
 public:
  /// @param to  3 channels
  /// @param scale, shift  [3]: an output is byte * scale + shift
  Resampler(Shape to, std::span<const float> scale, std::span<const float> shift);
  /// @param mirrored  left and right change places
  /// @param out  [H,W,3] of `to`
  void resample(const DecodedImage& image, const ImageBox& box, bool mirrored, float* out);

 private:
  /// Which pixels of one direction make each output, and how much of each.
  struct Weights {
    struct Run {
      std::size_t first = 0, count = 0;  ///< pixels
      std::size_t weights = 0;           ///< where theirs begin in `values`
    };
    std::vector<Run> runs;  ///< [outputs]
    std::vector<float> values;
    /// For a stretch [start, start + length) of `pixels`.
    void fill(double start, double length, std::size_t pixels);
  };

  const Shape to_;
  const std::vector<float> scale_, shift_;
  Weights down_, across_;
  std::vector<float> row_;  ///< one output row of the image's columns
};

}  // namespace paceline
