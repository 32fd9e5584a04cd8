#include "layers/input/image_encoder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
// libjpeg's header wants FILE.
#include <cstdio>
#include <cstdlib>
// After it.
#include <jpeglib.h>
#include <png.h>

#include "temporary_folder.h"

namespace paceline {
namespace {

int colour_type(PngKind kind) {
  switch (kind) {
    case PngKind::grey:
      return PNG_COLOR_TYPE_GRAY;
    case PngKind::grey_alpha:
      return PNG_COLOR_TYPE_GRAY_ALPHA;
    case PngKind::rgb_alpha:
      return PNG_COLOR_TYPE_RGB_ALPHA;
    case PngKind::palette:
      return PNG_COLOR_TYPE_PALETTE;
    default:
      return PNG_COLOR_TYPE_RGB;
  }
}

std::size_t channels_of(PngKind kind) {
  switch (kind) {
    case PngKind::grey:
    case PngKind::palette:
      return 1;
    case PngKind::grey_alpha:
      return 2;
    case PngKind::rgb_alpha:
      return 4;
    default:
      return 3;
  }
}

}  // namespace

Bytes encode_png(std::size_t width, std::size_t height, std::span<const std::uint16_t> samples,
                 const PngLook& look) {
  Bytes file;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &file,
      [](png_structp to, png_bytep bytes, std::size_t count) {
        auto& out = *static_cast<Bytes*>(png_get_io_ptr(to));
        out.insert(out.end(), bytes, bytes + count);
      },
      nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height),
               look.depth, colour_type(look.kind),
               look.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  std::vector<png_color> palette;
  for (std::size_t i = 0; i < look.palette.size(); i += 3) {
    palette.push_back({look.palette[i], look.palette[i + 1], look.palette[i + 2]});
  }
  if (!palette.empty()) png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
  png_write_info(png, info);
  const std::size_t row = width * channels_of(look.kind);
  const auto bits = static_cast<std::size_t>(look.depth);
  std::vector<Bytes> rows(height, Bytes((row * bits + 7) / 8 + 1));
  std::vector<png_bytep> pointers;
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t i = 0; i < row; ++i) {
      const unsigned sample = samples[y * row + i];
      if (bits == 16) {
        rows[y][2 * i] = static_cast<std::uint8_t>(sample >> 8);
        rows[y][2 * i + 1] = static_cast<std::uint8_t>(sample);
      } else {  // the first pixel lies in the highest bits
        const std::size_t bit = i * bits;
        rows[y][bit / 8] |= static_cast<std::uint8_t>(sample << (8 - bits - bit % 8));
      }
    }
    pointers.push_back(rows[y].data());
  }
  png_write_image(png, pointers.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return file;
}

Bytes encode_jpeg(std::size_t width, std::size_t height, std::span<const std::uint8_t> samples,
                  const JpegLook& look) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long bytes = 0;
  jpeg_mem_dest(&info, &memory, &bytes);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = look.channels;
  info.in_color_space = look.channels == 1   ? JCS_GRAYSCALE
                        : look.channels == 3 ? JCS_RGB
                                             : JCS_CMYK;
  jpeg_set_defaults(&info);
  if (look.channels == 4) info.write_Adobe_marker = look.adobe ? TRUE : FALSE;
  jpeg_set_quality(&info, look.quality, TRUE);
  if (look.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  const std::size_t row_bytes = width * static_cast<std::size_t>(look.channels);
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<JSAMPROW>(&samples[info.next_scanline * row_bytes]);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  Bytes file(memory, memory + bytes);
  std::free(memory);
  return file;
}

Bytes plain_jpeg(std::size_t width, std::size_t height, std::uint8_t red, std::uint8_t green,
                 std::uint8_t blue) {
  Bytes samples;
  for (std::size_t i = 0; i < width * height; ++i) {
    samples.insert(samples.end(), {red, green, blue});
  }
  return encode_jpeg(width, height, samples);
}

void write_image_folder(const std::filesystem::path& folder, std::size_t classes,
                        std::size_t train_images, std::size_t test_images) {
  for (std::size_t c = 0; c < classes; ++c) {
    for (const auto& [part, images] : {std::pair("train", train_images), {"val", test_images}}) {
      for (std::size_t i = 0; i < images; ++i) {
        const auto grey = static_cast<std::uint8_t>(20 + c * 200 / classes + i % 20);
        write_file(folder / part / std::to_string(c) / fmt::format("{:03}.jpg", i),
                   plain_jpeg(40, 40, grey, grey, grey));
      }
    }
  }
}

void write_file(const std::filesystem::path& path, const Bytes& bytes) {
  std::filesystem::create_directories(path.parent_path());
  write_bytes(path, bytes);
}

}  // namespace paceline
