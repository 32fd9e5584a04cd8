#include "paceline/layers/input/png_decoder_internal.h"

#include <cstring>

namespace paceline {

void PngDecoder::leave(png_structp png, png_const_charp text) {
  auto& self = *static_cast<PngDecoder*>(png_get_error_ptr(png));
  std::snprintf(self.text_, sizeof self.text_, "%s", text);
  png_longjmp(png, 1);
}

void PngDecoder::read(png_structp png, png_bytep to, std::size_t bytes) {
  auto& self = *static_cast<PngDecoder*>(png_get_io_ptr(png));
  if (bytes > self.left_.size()) png_error(png, "the file ends early");
  std::memcpy(to, self.left_.data(), bytes);
  self.left_ = self.left_.subspan(bytes);
}

void PngDecoder::close() {
  if (png_ != nullptr) png_destroy_read_struct(&png_, &info_, nullptr);
}

Error PngDecoder::failed() {
  close();
  return fail(std::errc::illegal_byte_sequence, "{}", text_);
}

Result<ImageSize> PngDecoder::open(std::span<const std::uint8_t> file) {
  close();
  left_ = file;
  png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &leave, [](png_structp, auto) {});
  if (png_ != nullptr) info_ = png_create_info_struct(png_);
  if (info_ == nullptr) {
    close();
    return fail(std::errc::not_enough_memory, "libpng has no memory");
  }
  if (!read_header()) return failed();
  const ImageSize size{.width = png_get_image_width(png_, info_),
                       .height = png_get_image_height(png_, info_)};
  if (size.width * size.height > kMostPixels) {
    close();
    return fail(std::errc::file_too_large, "{}x{} pixels are more than {} million", size.width,
                size.height, kMostPixels / 1'000'000);
  }
  return size;
}

Result<> PngDecoder::decode(DecodedImage& out) {
  const ImageSize size{.width = png_get_image_width(png_, info_),
                       .height = png_get_image_height(png_, info_)};
  out.reshape(size);
  rows_.resize(size.height);
  for (std::size_t y = 0; y < size.height; ++y) rows_[y] = out.row(y);
  if (!read_rows(out)) return failed();
  close();
  return success();
}

// Between setjmp and its return nothing is constructed that would have to be destroyed.

bool PngDecoder::read_header() {
  if (setjmp(png_jmpbuf(png_)) != 0) return false;
  png_set_read_fn(png_, this, &read);
  png_read_info(png_, info_);
  const png_byte colour = png_get_color_type(png_, info_);
  if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
  if ((colour & PNG_COLOR_MASK_COLOR) == 0) {
    png_set_expand_gray_1_2_4_to_8(png_);
    png_set_gray_to_rgb(png_);
  }
  png_set_scale_16(png_);
  png_set_strip_alpha(png_);
  png_set_interlace_handling(png_);
  png_read_update_info(png_, info_);
  return true;
}

bool PngDecoder::read_rows(DecodedImage& out) {
  if (setjmp(png_jmpbuf(png_)) != 0) return false;
  if (png_get_rowbytes(png_, info_) != out.size.width * 3) png_error(png_, "no RGB comes out");
  png_read_image(png_, rows_.data());
  png_read_end(png_, nullptr);
  return true;
}

}  // namespace paceline
