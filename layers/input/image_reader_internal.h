// From a file to what a network reads: decoded, cropped, resized, perhaps mirrored, normalised.
// One thread.
#pragma once

#include "paceline/compute/random.h"
#include "paceline/layers/input/dataset.h"
#include "paceline/layers/input/image_decoder_internal.h"
#include "paceline/layers/input/resampler_internal.h"

namespace paceline {

/// A random part of an image: 8 to 100 % of its area, 3:4 to 4:3, ten tries, then its middle.
/// @source Szegedy et al. 2015, section 6; as torchvision's RandomResizedCrop
ImageBox random_box(ImageSize image, Rng& rng);

/// The middle of an image, as if its shorter side had been resized to 256/224 of the network's
/// image, and that had been cut out.
ImageBox centre_box(ImageSize image, ImageSize network);

/// The most by which decoding may divide an image's sides (1, 2, 4 or 8) so that the box is still
/// no smaller than the network's image.
unsigned reduction_for(const ImageBox& box, ImageSize network);

class ImageReader {
 public:
  enum class Crop : std::uint8_t { centre, random, random_mirrored };

  /// @param data  whose statistics normalise; not kept. @param set  of files; outlives the reader
  ImageReader(const Data& data, const Dataset& set, Shape image, Crop crop);
  /// @param rng  decides the crop; @param out  [H,W,C]
  /// @return what is wrong with the file, without its name
  Result<> read(std::size_t image, Rng rng, float* out);

 private:
  const ImageFiles& files_;
  const ImageSize network_;
  const Crop crop_;
  ImageDecoder decoder_;
  Resampler resampler_;
};

}  // namespace paceline
