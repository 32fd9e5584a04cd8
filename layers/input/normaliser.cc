#include "paceline/layers/input/normaliser.h"

#include <algorithm>

namespace paceline {

Normaliser::Normaliser(const Data& data, Shape from, Shape to)
    : from_(from), to_{.channels = from.channels, .height = to.height, .width = to.width} {
  PACELINE_CHECK(data.mean.size() == from.channels && data.deviation.size() == from.channels,
                 "statistics of {} channels for images of {}", data.mean.size(), from.channels);
  const std::size_t row = to_.width * to_.channels;
  scale_.resize(row);
  shift_.resize(row);
  mirrored_.resize(row);
  for (std::size_t i = 0; i < row; ++i) {
    const std::size_t c = i % to_.channels;
    scale_[i] = 1 / (255 * data.deviation[c]);
    shift_[i] = -data.mean[c] / data.deviation[c];
  }
}

Window Normaliser::centre() const {
  const auto middle = [](std::size_t whole, std::size_t part) {
    return (static_cast<std::ptrdiff_t>(whole) - static_cast<std::ptrdiff_t>(part)) / 2;
  };
  return {.top = middle(from_.height, to_.height), .left = middle(from_.width, to_.width)};
}

void Normaliser::cut(const std::uint8_t* pixels, const Window& window, float* out) {
  const auto height = static_cast<std::ptrdiff_t>(from_.height);
  const auto width = static_cast<std::ptrdiff_t>(from_.width);
  const auto wanted = static_cast<std::ptrdiff_t>(to_.width);
  const std::size_t channels = to_.channels;
  // Columns [first, last) of the window lie in the image, before mirroring.
  const std::ptrdiff_t first = std::clamp<std::ptrdiff_t>(-window.left, 0, wanted);
  const std::ptrdiff_t last = std::clamp<std::ptrdiff_t>(width - window.left, first, wanted);
  const std::size_t count = static_cast<std::size_t>(last - first) * channels;
  const std::size_t start =
      static_cast<std::size_t>(window.mirrored ? wanted - last : first) * channels;
  const std::size_t row = to_.width * channels;
  for (std::size_t y = 0; y < to_.height; ++y, out += row) {
    const std::ptrdiff_t from_y = window.top + static_cast<std::ptrdiff_t>(y);
    if (from_y < 0 || from_y >= height) {
      std::fill_n(out, row, 0.0F);
      continue;
    }
    const std::uint8_t* source =
        pixels + static_cast<std::size_t>(from_y * width + window.left + first) * channels;
    if (window.mirrored) {
      for (std::size_t i = 0; i < count; i += channels) {
        std::copy_n(source + i, channels, mirrored_.data() + count - channels - i);
      }
      source = mirrored_.data();
    }
    std::fill_n(out, start, 0.0F);
    float* to = out + start;
    for (std::size_t i = 0; i < count; ++i)
      to[i] = static_cast<float>(source[i]) * scale_[i] + shift_[i];
    std::fill(to + count, out + row, 0.0F);
  }
}

}  // namespace paceline
