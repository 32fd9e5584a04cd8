// Opens image files and tells their formats by what is in them, whatever they are called. One
// thread; keeps its memory from file to file.
#pragma once

#include <string>
#include <vector>

#include "paceline/layers/input/jpeg_decoder_internal.h"
#include "paceline/layers/input/png_decoder_internal.h"

namespace paceline {

class ImageDecoder {
 public:
  /// Reads the whole file, and its header. @return the error says what is wrong with it, without
  /// its name; "no memory" where there is too little
  Result<ImageSize> open(const std::string& path);
  /// Decodes what open() has opened.
  /// @param reduction  1, 2, 4 or 8: a JPEG file's sides may come out divided by it; others' do not
  /// @return valid until the next open()
  Result<const DecodedImage*> decode(unsigned reduction);

 private:
  enum class Format : std::uint8_t { jpeg, png };
  Result<> read(const std::string& path);
  Result<ImageSize> read_header();

  std::vector<std::uint8_t> file_;  ///< at its start
  std::size_t file_bytes_ = 0;
  Format format_ = Format::jpeg;
  JpegDecoder jpeg_;
  PngDecoder png_;
  DecodedImage image_;
};

}  // namespace paceline
