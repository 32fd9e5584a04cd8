// PNG files by libpng, all to RGB bytes: grey is repeated, palettes are looked up, an alpha channel
// is dropped (what lies under it counts), 16 bits are rounded to 8. One thread.
#pragma once

#include <png.h>

#include <span>
#include <vector>

#include "paceline/layers/input/decoded_image_internal.h"
#include "paceline/result.h"

namespace paceline {

class PngDecoder {
 public:
  PngDecoder() = default;
  ~PngDecoder() { close(); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  /// Reads the header. @param file  stays where it is until decode() is done
  Result<ImageSize> open(std::span<const std::uint8_t> file);
  /// Decodes what open() has opened, to its last chunk.
  Result<> decode(DecodedImage& out);

 private:
  [[noreturn]] static void leave(png_structp png, png_const_charp text);
  static void read(png_structp png, png_bytep to, std::size_t bytes);
  bool read_header();
  bool read_rows(DecodedImage& out);
  void close();
  Error failed();

  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::span<const std::uint8_t> left_;  ///< of the file
  std::vector<png_bytep> rows_;
  char text_[128] = "";  ///< why libpng left
};

}  // namespace paceline
