// Small JPEG and PNG files, written by the libraries that the world's files come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace paceline {

using Bytes = std::vector<std::uint8_t>;

enum class PngKind : std::uint8_t { grey, grey_alpha, rgb, rgb_alpha, palette };

struct PngLook {
  PngKind kind = PngKind::rgb;
  int depth = 8;  ///< bits a channel
  bool interlaced = false;
  std::vector<std::uint8_t> palette;  ///< [n,3]
};

/// @param samples  [height,width,channels] of the kind, each below 2^depth
Bytes encode_png(std::size_t width, std::size_t height, std::span<const std::uint16_t> samples,
                 const PngLook& look = {});

struct JpegLook {
  int channels = 3;  ///< 1 grey, 3 RGB, 4 CMYK
  int quality = 98;
  bool progressive = false;
  bool adobe = true;  ///< of CMYK: Adobe's mark, which says that inks are inverted
};

/// @param samples  [height,width,channels]
Bytes encode_jpeg(std::size_t width, std::size_t height, std::span<const std::uint8_t> samples,
                  const JpegLook& look = {});

/// A file of one colour.
Bytes plain_jpeg(std::size_t width, std::size_t height, std::uint8_t red, std::uint8_t green,
                 std::uint8_t blue);

/// train/CLASS/N.jpg and val/CLASS/N.jpg for classes "0", "1", ...: grey squares, whose brightness
/// tells class and image.
void write_image_folder(const std::filesystem::path& folder, std::size_t classes,
                        std::size_t train_images, std::size_t test_images);

/// Makes the folders above a file, too.
void write_file(const std::filesystem::path& path, const Bytes& bytes);

}  // namespace paceline
