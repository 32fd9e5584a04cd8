// JPEG files by libjpeg-turbo: grey, YCbCr, RGB, CMYK and YCCK, baseline and progressive, all to
// RGB. One thread. EXIF's orientation is not looked at.
//   JD-1 A file that ends early or whose data are damaged is an error, though libjpeg would go on
//        with grey; what it merely finds odd (stray bytes between segments) is not.
//   JD-2 decode() either writes every row or fails.
//   JD-3 A small file cannot take much time or memory: a progressive one has at most 500 scans, each
//        of which goes over the whole image, and at most 640 MB of coefficients (100 million pixels
//        of three full channels).
#pragma once

#include <cstdio>
// libjpeg's header wants FILE.
#include <jpeglib.h>

#include <csetjmp>
#include <span>
#include <string>

#include "paceline/layers/input/decoded_image_internal.h"
#include "paceline/result.h"

namespace paceline {

class JpegDecoder {
 public:
  JpegDecoder();
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  /// Reads the header. @param file  stays where it is until decode() is done
  Result<ImageSize> open(std::span<const std::uint8_t> file);
  /// Decodes what open() has opened. @param reduction  1, 2, 4 or 8: sides are divided by it,
  /// rounded up, which costs less than decoding the whole
  Result<> decode(unsigned reduction, DecodedImage& out);

 private:
  struct Failure {
    jpeg_error_mgr jpeg;  ///< first: libjpeg hands out its address
    std::jmp_buf jump;
    char text[JMSG_LENGTH_MAX];
  };
  [[noreturn]] static void leave(j_common_ptr info);
  static void warn(j_common_ptr info, int level);
  static void watch(j_common_ptr info);
  bool read_header(std::span<const std::uint8_t> file);
  bool read_rows(unsigned reduction, DecodedImage& out);
  Error failed();

  Failure failure_{};
  jpeg_progress_mgr progress_{};
  jpeg_decompress_struct info_{};
};

}  // namespace paceline
