// A decoded image: what the decoders write and the resampler reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace paceline {

struct ImageSize {
  std::size_t width = 0, height = 0;
  bool operator==(const ImageSize&) const = default;
};

/// Larger ones are refused: a file of a few bytes may promise any size. 300 MB of pixels.
inline constexpr std::size_t kMostPixels = 100'000'000;

/// Red, green and blue bytes, row by row. Keeps its memory for the next image.
struct DecodedImage {
  ImageSize size;
  std::vector<std::uint8_t> bytes;  ///< [height, width, 3] at its start

  void reshape(ImageSize to) {
    size = to;
    const std::size_t needed = to.width * to.height * 3;
    if (bytes.size() < needed) bytes.resize(needed);
  }
  std::uint8_t* row(std::size_t y) { return bytes.data() + y * size.width * 3; }
  const std::uint8_t* row(std::size_t y) const { return bytes.data() + y * size.width * 3; }
};

}  // namespace paceline
