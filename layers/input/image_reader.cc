#include "paceline/layers/input/image_reader_internal.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace paceline {
namespace {

constexpr double kLeastArea = 0.08, kWidest = 4.0 / 3;

std::array<float, 3> scale_of(const Data& data) {
  std::array<float, 3> scale{};
  for (std::size_t c = 0; c < 3; ++c) scale[c] = 1 / (255 * data.deviation[c]);
  return scale;
}

std::array<float, 3> shift_of(const Data& data) {
  std::array<float, 3> shift{};
  for (std::size_t c = 0; c < 3; ++c) shift[c] = -data.mean[c] / data.deviation[c];
  return shift;
}

}  // namespace

ImageBox random_box(ImageSize image, Rng& rng) {
  const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = width * height * (kLeastArea + (1 - kLeastArea) * rng.uniform());
    const double ratio = std::exp((2 * rng.uniform() - 1) * std::log(kWidest));
    const double w = std::round(std::sqrt(area * ratio)), h = std::round(std::sqrt(area / ratio));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const std::uint64_t left = rng.below(static_cast<std::uint64_t>(width - w) + 1);
    const std::uint64_t top = rng.below(static_cast<std::uint64_t>(height - h) + 1);
    return {static_cast<double>(left), static_cast<double>(top), w, h};
  }
  const double w = std::min(width, std::max(1.0, std::round(height * kWidest)));
  const double h = std::min(height, std::max(1.0, std::round(width * kWidest)));
  return {std::floor((width - w) / 2), std::floor((height - h) / 2), w, h};
}

ImageBox centre_box(ImageSize image, ImageSize network) {
  // Whole pixels of the resized image, rounded as torchvision's Resize and CenterCrop do.
  const std::size_t shorter = std::min(image.width, image.height);
  const std::size_t wanted = std::min(network.width, network.height) * 256 / 224;
  const auto stretch = [&](std::size_t side, std::size_t part) {
    const auto resized = static_cast<double>(std::max(side * wanted / shorter, part));
    const double start = std::nearbyint((resized - static_cast<double>(part)) / 2);
    const double step = static_cast<double>(side) / resized;
    return std::pair(start * step, static_cast<double>(part) * step);
  };
  const auto [left, width] = stretch(image.width, network.width);
  const auto [top, height] = stretch(image.height, network.height);
  return {left, top, width, height};
}

unsigned reduction_for(const ImageBox& box, ImageSize network) {
  unsigned reduction = 8;
  while (reduction > 1 && (box.width < static_cast<double>(network.width * reduction) ||
                           box.height < static_cast<double>(network.height * reduction))) {
    reduction /= 2;
  }
  return reduction;
}

ImageReader::ImageReader(const Data& data, const Dataset& set, Shape image, Crop crop)
    : files_(*set.files),
      network_{.width = image.width, .height = image.height},
      crop_(crop),
      resampler_({.channels = set.image.channels, .height = image.height, .width = image.width},
                 scale_of(data), shift_of(data)) {}

Result<> ImageReader::read(std::size_t image, Rng rng, float* out) {
  PACELINE_TRY(const ImageSize size, decoder_.open(files_.path(image)));
  ImageBox box = crop_ == Crop::centre ? centre_box(size, network_) : random_box(size, rng);
  // Drawn even if not used, so that mirroring changes nothing else.
  const bool mirrored = rng.below(2) == 1 && crop_ == Crop::random_mirrored;
  const unsigned reduction = reduction_for(box, network_);
  PACELINE_TRY(const DecodedImage* decoded, decoder_.decode(reduction));
  if (decoded->size != size) {
    for (double* length : {&box.left, &box.top, &box.width, &box.height}) *length /= reduction;
  }
  resampler_.resample(*decoded, box, mirrored, out);
  return success();
}

}  // namespace paceline
