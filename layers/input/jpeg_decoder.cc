#include "paceline/layers/input/jpeg_decoder_internal.h"

#include <jerror.h>

#include <algorithm>

namespace paceline {
namespace {

constexpr int kMostScans = 500;  // programs write about ten
constexpr long kMostMemory = 640'000'000;

/// Four bytes a pixel to three, in place. Adobe's programs write their inks inverted, and all that
/// is met in the wild is theirs.
void from_cmyk(std::uint8_t* row, std::size_t width, bool inverted) {
  for (std::size_t x = 0; x < width; ++x) {
    const std::uint8_t* ink = row + 4 * x;
    const unsigned black = inverted ? ink[3] : 255U - ink[3];
    std::uint8_t colour[3];
    for (int c = 0; c < 3; ++c) {
      const unsigned paper = inverted ? ink[c] : 255U - ink[c];
      colour[c] = static_cast<std::uint8_t>((paper * black + 127) / 255);
    }
    for (int c = 0; c < 3; ++c) row[3 * x + static_cast<std::size_t>(c)] = colour[c];
  }
}

}  // namespace

JpegDecoder::JpegDecoder() {
  info_.err = jpeg_std_error(&failure_.jpeg);
  failure_.jpeg.error_exit = &leave;
  failure_.jpeg.emit_message = &warn;
  if (setjmp(failure_.jump) != 0) {
    PACELINE_CHECK(false, "libjpeg: {}", failure_.text);
  }
  jpeg_create_decompress(&info_);
  progress_.progress_monitor = &watch;
  info_.progress = &progress_;
  info_.mem->max_memory_to_use = kMostMemory;
}

JpegDecoder::~JpegDecoder() { jpeg_destroy_decompress(&info_); }

void JpegDecoder::leave(j_common_ptr info) {
  auto& failure = *reinterpret_cast<Failure*>(info->err);
  failure.jpeg.format_message(info, failure.text);
  if (info->err->msg_code == JERR_NO_BACKING_STORE) {  // which it would want beyond its memory
    std::snprintf(failure.text, sizeof failure.text, "takes more than %ld MB to decode",
                  kMostMemory / 1'000'000);
  }
  std::longjmp(failure.jump, 1);
}

void JpegDecoder::watch(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMostScans) return;
  auto& failure = *reinterpret_cast<Failure*>(info->err);
  std::snprintf(failure.text, sizeof failure.text, "more than %d scans", kMostScans);
  std::longjmp(failure.jump, 1);
}

void JpegDecoder::warn(j_common_ptr info, int level) {
  if (level >= 0) return;  // a trace
  switch (info->err->msg_code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
      leave(info);
    default:
      break;
  }
}

Error JpegDecoder::failed() {
  jpeg_abort_decompress(&info_);
  return fail(std::errc::illegal_byte_sequence, "{}", failure_.text);
}

Result<ImageSize> JpegDecoder::open(std::span<const std::uint8_t> file) {
  if (!read_header(file)) return failed();
  const ImageSize size{.width = info_.image_width, .height = info_.image_height};
  if (size.width * size.height > kMostPixels) {
    jpeg_abort_decompress(&info_);
    return fail(std::errc::file_too_large, "{}x{} pixels are more than {} million", size.width,
                size.height, kMostPixels / 1'000'000);
  }
  return size;
}

Result<> JpegDecoder::decode(unsigned reduction, DecodedImage& out) {
  if (!read_rows(reduction, out)) return failed();
  return success();
}

// Between setjmp and its return nothing is constructed that would have to be destroyed.

bool JpegDecoder::read_header(std::span<const std::uint8_t> file) {
  if (setjmp(failure_.jump) != 0) return false;
  jpeg_abort_decompress(&info_);  // a file that was opened and never decoded
  jpeg_mem_src(&info_, file.data(), file.size());
  jpeg_read_header(&info_, TRUE);
  const bool inks = info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
  info_.out_color_space = inks ? JCS_CMYK : JCS_RGB;
  return true;
}

bool JpegDecoder::read_rows(unsigned reduction, DecodedImage& out) {
  if (setjmp(failure_.jump) != 0) return false;
  info_.scale_num = 1;
  info_.scale_denom = reduction;
  jpeg_start_decompress(&info_);
  const bool inks = info_.out_color_space == JCS_CMYK;
  out.reshape({.width = info_.output_width, .height = info_.output_height});
  JSAMPROW wide = nullptr;  // libjpeg's own memory: gone with this image
  if (inks) {
    wide = static_cast<JSAMPROW>(info_.mem->alloc_large(
        reinterpret_cast<j_common_ptr>(&info_), JPOOL_IMAGE, std::size_t{4} * info_.output_width));
  }
  while (info_.output_scanline < info_.output_height) {
    JSAMPROW row = out.row(info_.output_scanline);
    const JSAMPROW here = row;
    if (inks) row = wide;
    jpeg_read_scanlines(&info_, &row, 1);
    if (inks) {
      from_cmyk(wide, info_.output_width, info_.saw_Adobe_marker != 0);
      std::copy_n(wide, std::size_t{3} * info_.output_width, here);
    }
  }
  jpeg_finish_decompress(&info_);
  return true;
}

}  // namespace paceline
