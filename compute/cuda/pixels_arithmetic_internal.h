// Where an element of [N,H,W,C] lies.
#pragma once

#include <cstddef>
#include <cstdint>

#include "paceline/compute/cuda/host_device_internal.h"

namespace paceline::cuda {

struct Pixel {
  std::uint32_t image, y, x, channel;
};

namespace detail {
template <class Index>
PACELINE_HOST_DEVICE Pixel pixel_at(Index i, std::uint32_t height, std::uint32_t width,
                                    std::uint32_t channels) {
  const Index pixel = i / channels, row = pixel / width, image = row / height;
  return {static_cast<std::uint32_t>(image), static_cast<std::uint32_t>(row - image * height),
          static_cast<std::uint32_t>(pixel - row * width),
          static_cast<std::uint32_t>(i - pixel * channels)};
}
}  // namespace detail

/// Of element i. Divisions of 32 bits are several times faster than those of 64.
PACELINE_HOST_DEVICE Pixel pixel_at(std::size_t i, std::uint32_t height, std::uint32_t width,
                                    std::uint32_t channels) {
  if (i >> 32 == 0) return detail::pixel_at(static_cast<std::uint32_t>(i), height, width, channels);
  return detail::pixel_at(i, height, width, channels);
}
PACELINE_HOST_DEVICE std::size_t element_at(const Pixel& at, std::uint32_t height,
                                            std::uint32_t width, std::uint32_t channels) {
  return ((std::size_t{at.image} * height + at.y) * width + at.x) * channels + at.channel;
}

}  // namespace paceline::cuda
