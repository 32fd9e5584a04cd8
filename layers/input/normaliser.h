// From bytes to what a network reads: a window of an image, perhaps mirrored, each channel shifted
// and scaled by the training set's mean and deviation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "paceline/layers/input/dataset.h"

namespace paceline {

/// Where a window's upper left corner lies in its image; outside the image is the mean.
struct Window {
  std::ptrdiff_t top = 0, left = 0;
  bool mirrored = false;
};

/// Cuts windows of one size. One thread; allocates nothing after construction.
class Normaliser {
 public:
  /// @param from  the data set's images, @param to  the windows: height and width
  Normaliser(const Data& data, Shape from, Shape to);
  Shape from() const { return from_; }
  Shape to() const { return to_; }
  /// The window in the middle.
  Window centre() const;
  /// @param pixels  [H,W,C] of `from`, @param out  [H,W,C] of `to`: (pixel / 255 - mean) /
  /// deviation, 0 outside the image; computed as pixel * scale + shift (RawBatch in compute/device.h)
  void cut(const std::uint8_t* pixels, const Window& window, float* out);
  /// [C]
  std::span<const float> scale() const { return std::span(scale_).first(to_.channels); }
  std::span<const float> shift() const { return std::span(shift_).first(to_.channels); }

 private:
  const Shape from_, to_;
  std::vector<float> scale_, shift_;    ///< [W,C] of `to`: a row's worth, so that the loop is flat
  std::vector<std::uint8_t> mirrored_;  ///< [W,C]: one row
};

}  // namespace paceline
