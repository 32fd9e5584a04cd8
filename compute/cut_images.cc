#include "paceline/compute/cut_images_internal.h"

#include <cstddef>

namespace paceline {

void cut_images(const RawBatch& raw, Shape to, std::span<float> out) {
  PACELINE_CHECK(raw.stored.channels == to.channels && raw.scale.size() == to.channels &&
                     raw.shift.size() == to.channels,
                 "images of {} channels cut to {}", raw.stored.channels, to.channels);
  PACELINE_CHECK(out.size() == raw.cuts.size() * to.count() &&
                     raw.images.size() == raw.cuts.size() * raw.stored.count(),
                 "{} bytes cut to {} pixels", raw.images.size(), out.size());
  const auto height = static_cast<std::ptrdiff_t>(raw.stored.height);
  const auto width = static_cast<std::ptrdiff_t>(raw.stored.width);
  float* pixel = out.data();
  for (std::size_t i = 0; i < raw.cuts.size(); ++i) {
    const std::uint8_t* const image = &raw.images[i * raw.stored.count()];
    const Cut& cut = raw.cuts[i];
    for (std::size_t y = 0; y < to.height; ++y) {
      const std::ptrdiff_t row = cut.top + static_cast<std::ptrdiff_t>(y);
      for (std::size_t x = 0; x < to.width; ++x) {
        const std::size_t from = cut.flip != 0 ? to.width - 1 - x : x;
        const std::ptrdiff_t column = cut.left + static_cast<std::ptrdiff_t>(from);
        const bool inside = row >= 0 && row < height && column >= 0 && column < width;
        for (std::size_t c = 0; c < to.channels; ++c, ++pixel) {
          if (!inside) {
            *pixel = 0;
            continue;
          }
          const auto at = static_cast<std::size_t>(row * width + column) * to.channels + c;
          *pixel = static_cast<float>(image[at]) * raw.scale[c] + raw.shift[c];
        }
      }
    }
  }
}

}  // namespace paceline
