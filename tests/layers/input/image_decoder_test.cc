#include "paceline/layers/input/image_decoder_internal.h"

#include <gmock/gmock.h>

#include "layers/input/image_encoder.h"
#include "layers/input/thread_allocations.h"
#include "paceline/compute/random.h"
#include "temporary_folder.h"
#include "test_seed.h"

namespace paceline {
namespace {

using testing::HasSubstr;

/// Decodes files by way of a disk.
class Decoding {
 public:
  /// @return the RGB bytes; empty when it failed, and then error() says why
  Bytes decode(const Bytes& file, unsigned reduction = 1) {
    write_bytes(path(), file);
    return decode_file(path(), reduction);
  }
  Bytes decode_file(const std::string& path, unsigned reduction = 1) {
    const auto opened = decoder_.open(path);
    if (!opened) return error_ = opened.error().message, Bytes();
    size_ = opened.value();
    const auto image = decoder_.decode(reduction);
    if (!image) return error_ = image.error().message, Bytes();
    decoded_ = image.value()->size;
    const Bytes& bytes = image.value()->bytes;
    return {bytes.begin(), bytes.begin() + static_cast<long>(decoded_.width * decoded_.height * 3)};
  }
  std::string path() const { return folder_ / "file"; }
  const std::filesystem::path& folder() const { return folder_.path(); }
  ImageSize size() const { return size_; }
  ImageSize decoded() const { return decoded_; }
  const std::string& error() const { return error_; }

 private:
  const TemporaryFolder folder_;
  ImageDecoder decoder_;
  ImageSize size_, decoded_;
  std::string error_;
};

/// Waves, so that compression has something to do and little to lose.
Bytes waves(std::size_t width, std::size_t height, std::size_t channels) {
  Bytes samples;
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) {
      for (std::size_t c = 0; c < channels; ++c) {
        const double wave = std::sin(0.1 * static_cast<double>(x + c * y) + static_cast<double>(c));
        samples.push_back(static_cast<std::uint8_t>(128 + 100 * wave));
      }
    }
  }
  return samples;
}

void expect_near(const Bytes& got, const Bytes& wanted, int most) {
  ASSERT_EQ(got.size(), wanted.size());
  int worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    worst = std::max(worst, std::abs(got[i] - wanted[i]));
  EXPECT_LE(worst, most);
}

TEST(ImageDecoder, EveryKindOfPngComesOutAsItsRgbBytes) {
  Rng rng(test_seed());
  Decoding decoding;
  struct Case {
    PngKind kind;
    std::size_t channels;
    std::vector<int> depths;
  };
  const std::vector<Case> cases = {{PngKind::grey, 1, {1, 2, 4, 8, 16}},
                                   {PngKind::grey_alpha, 2, {8, 16}},
                                   {PngKind::rgb, 3, {8, 16}},
                                   {PngKind::rgb_alpha, 4, {8, 16}},
                                   {PngKind::palette, 1, {1, 2, 4, 8}}};
  for (const Case& one : cases) {
    for (const int depth : one.depths) {
      for (const bool interlaced : {false, true}) {
        const std::size_t width = 1 + rng.below(20), height = 1 + rng.below(20);
        SCOPED_TRACE(fmt::format("kind {}, {} bits, {}x{}", static_cast<int>(one.kind), depth,
                                 width, height));
        const std::uint64_t levels = std::uint64_t{1} << depth;
        PngLook look{one.kind, depth, interlaced, {}};
        if (one.kind == PngKind::palette) {
          for (std::uint64_t i = 0; i < 3 * levels; ++i) {
            look.palette.push_back(static_cast<std::uint8_t>(rng.below(256)));
          }
        }
        std::vector<std::uint16_t> samples(width * height * one.channels);
        for (auto& sample : samples) sample = static_cast<std::uint16_t>(rng.below(levels));
        Bytes wanted;
        for (std::size_t pixel = 0; pixel < width * height; ++pixel) {
          for (std::size_t c = 0; c < 3; ++c) {
            const std::size_t sample = samples[pixel * one.channels + (one.channels < 3 ? 0 : c)];
            wanted.push_back(
                one.kind == PngKind::palette
                    ? look.palette[3 * sample + c]
                    : static_cast<std::uint8_t>((sample * 255 + (levels - 1) / 2) / (levels - 1)));
          }
        }
        EXPECT_EQ(decoding.decode(encode_png(width, height, samples, look), 8), wanted)
            << decoding.error();
        EXPECT_EQ(decoding.size(), (ImageSize{width, height}));
      }
    }
  }
}

TEST(ImageDecoder, JpegsAreNearWhatWasEncoded) {
  Decoding decoding;
  const Bytes rgb = waves(61, 47, 3), grey = waves(61, 47, 1);
  for (const bool progressive : {false, true}) {
    expect_near(decoding.decode(encode_jpeg(61, 47, rgb, {.progressive = progressive})), rgb, 16);
    EXPECT_EQ(decoding.size(), (ImageSize{61, 47}));
    Bytes wanted;
    for (const std::uint8_t sample : grey) wanted.insert(wanted.end(), 3, sample);
    expect_near(
        decoding.decode(encode_jpeg(61, 47, grey, {.channels = 1, .progressive = progressive})),
        wanted, 4);
  }
}

TEST(ImageDecoder, InksBecomeColoursWithAndWithoutAdobesMark) {
  Decoding decoding;
  Bytes inks, inverted;
  for (int i = 0; i < 16 * 16; ++i) inks.insert(inks.end(), {255, 102, 0, 51});
  for (const std::uint8_t ink : inks) inverted.push_back(static_cast<std::uint8_t>(255 - ink));
  Bytes wanted;  // (255 - ink) (255 - black) / 255
  for (int i = 0; i < 16 * 16; ++i) wanted.insert(wanted.end(), {0, 122, 204});
  expect_near(decoding.decode(encode_jpeg(16, 16, inks, {.channels = 4, .adobe = false})), wanted,
              3);
  expect_near(decoding.decode(encode_jpeg(16, 16, inverted, {.channels = 4, .adobe = true})),
              wanted, 3);
}

TEST(ImageDecoder, JpegsCanBeReducedWhileTheyAreDecoded) {
  Decoding decoding;
  const Bytes file = plain_jpeg(61, 47, 200, 100, 50);
  for (const unsigned by : {1U, 2U, 4U, 8U}) {
    const Bytes got = decoding.decode(file, by);
    EXPECT_EQ(decoding.decoded(), (ImageSize{(60 + by) / by, (46 + by) / by}));
    Bytes wanted;
    for (std::size_t i = 0; i < got.size() / 3; ++i) wanted.insert(wanted.end(), {200, 100, 50});
    expect_near(got, wanted, 3);
  }
}

TEST(ImageDecoder, AFileThatEndsEarlyIsAnErrorWhereverItEnds) {  // JD-1
  Rng rng(test_seed());
  Decoding decoding;
  const Bytes samples = waves(50, 40, 3);
  const std::vector<std::uint16_t> wide(samples.begin(), samples.end());
  const Bytes files[] = {
      encode_jpeg(50, 40, samples), encode_jpeg(50, 40, samples, {.progressive = true}),
      encode_png(50, 40, wide), encode_png(50, 40, wide, {PngKind::rgb, 8, true, {}})};
  for (const Bytes& file : files) {
    for (int round = 0; round < 100; ++round) {
      const std::size_t length = round == 0 ? file.size() - 1 : rng.below(file.size());
      EXPECT_TRUE(decoding.decode({file.begin(), file.begin() + static_cast<long>(length)}).empty())
          << length << " of " << file.size() << " bytes";
    }
    EXPECT_FALSE(decoding.decode(file).empty()) << "and the decoder can be used again";
  }
}

TEST(ImageDecoder, DamagedFilesAreErrorsOrImagesAndNothingElse) {
  Rng rng(test_seed());
  Decoding decoding;
  const Bytes samples = waves(50, 40, 3);
  const Bytes files[] = {
      encode_jpeg(50, 40, samples), encode_jpeg(50, 40, samples, {.progressive = true}),
      encode_png(50, 40, std::vector<std::uint16_t>(samples.begin(), samples.end()))};
  int failed = 0;
  for (int round = 0; round < 600; ++round) {
    Bytes file = files[rng.below(3)];
    for (std::uint64_t i = 0; i <= rng.below(4); ++i) {
      file[rng.below(file.size())] = static_cast<std::uint8_t>(rng.next());
    }
    failed += decoding.decode(file).empty();
  }
  EXPECT_GT(failed, 100) << "most damage is noticed";
}

TEST(ImageDecoder, WhatIsNoImageIsNamed) {
  Decoding decoding;
  EXPECT_TRUE(decoding.decode({}).empty());
  EXPECT_EQ(decoding.error(), "empty");
  EXPECT_TRUE(decoding.decode({'G', 'I', 'F', '8', '9', 'a'}).empty());
  EXPECT_EQ(decoding.error(), "neither JPEG nor PNG: begins with 47 49 46 38");
  EXPECT_TRUE(decoding.decode({7}).empty());
  EXPECT_TRUE(decoding.decode_file(decoding.folder()).empty());
  EXPECT_EQ(decoding.error(), "no regular file");
  EXPECT_TRUE(decoding.decode_file(decoding.folder() / "none").empty());
  EXPECT_EQ(decoding.error(), "cannot be read: No such file or directory");
}

TEST(ImageDecoder, TooLittleMemoryIsAnErrorAndTheDecoderCanBeUsedAgain) {
  const Bytes samples = waves(200, 200, 3);
  const Bytes files[] = {
      encode_jpeg(200, 200, samples, {.quality = 20}), encode_jpeg(200, 200, samples),
      encode_png(200, 200, std::vector<std::uint16_t>(samples.begin(), samples.end()))};
  for (const Bytes& file : files) {
    for (const std::size_t bytes : {file.size() - 1, samples.size() - 1}) {  // the file; the pixels
      const TemporaryFolder folder;
      write_bytes(folder / "file", file);
      const std::string path = folder / "file";
      ImageDecoder decoder;
      {
        const AllocationLimit limit(bytes);
        const auto opened = decoder.open(path);
        ASSERT_EQ(bool{opened}, bytes >= file.size());
        const Error error = opened ? decoder.decode(1).error() : opened.error();
        EXPECT_EQ(error.message, "no memory");
      }
      ASSERT_TRUE(decoder.open(path));
      EXPECT_TRUE(decoder.decode(1));
    }
  }
}

TEST(ImageDecoder, AHeaderThatPromisesTooMuchIsRefusedBeforeMemoryIsTaken) {
  Decoding decoding;
  Bytes file = plain_jpeg(16, 16, 1, 2, 3);
  const Bytes frame = {0xff, 0xc0, 0, 17, 8};  // height and width follow
  const auto found = std::search(file.begin(), file.end(), frame.begin(), frame.end());
  ASSERT_NE(found, file.end());
  std::fill_n(found + 5, 4, 0xf0);
  EXPECT_TRUE(decoding.decode(file).empty());
  EXPECT_THAT(decoding.error(), HasSubstr("61680x61680 pixels are more than 100 million"));
}

TEST(ImageDecoder, ASmallJpegTakesNoEndOfScansOrMemory) {  // JD-3
  Decoding decoding;
  const Bytes plain = encode_jpeg(16, 16, waves(16, 16, 1), {.channels = 1, .progressive = true});
  const Bytes mark = {0xff, 0xda};  // a scan starts
  const auto start = std::search(plain.begin(), plain.end(), mark.begin(), mark.end());
  const auto end = std::adjacent_find(start + 2, plain.end(),
                                      [](auto a, auto b) { return a == 0xff && b != 0; });
  ASSERT_LT(end, plain.end());
  const auto repeated = [&](int times) {
    Bytes file(plain.begin(), end);
    for (int i = 0; i < times; ++i) file.insert(file.end(), start, end);
    file.insert(file.end(), end, plain.end());
    return file;
  };
  const Bytes wanted = decoding.decode(plain);
  EXPECT_EQ(decoding.decode(repeated(480)), wanted) << decoding.error();
  EXPECT_TRUE(decoding.decode(repeated(500)).empty());
  EXPECT_EQ(decoding.error(), "more than 500 scans");
  EXPECT_EQ(decoding.decode(plain), wanted) << "and the decoder can be used again";

  Bytes inks = encode_jpeg(16, 16, waves(16, 16, 4), {.channels = 4, .progressive = true});
  const Bytes frame = {0xff, 0xc2, 0, 20, 8};  // height and width follow
  const auto found = std::search(inks.begin(), inks.end(), frame.begin(), frame.end());
  ASSERT_NE(found, inks.end());
  std::copy_n(Bytes{10'000 >> 8, 10'000 & 255, 10'000 >> 8, 10'000 & 255}.begin(), 4, found + 5);
  EXPECT_TRUE(decoding.decode(inks, 8).empty());
  EXPECT_EQ(decoding.error(), "takes more than 640 MB to decode");
}

}  // namespace
}  // namespace paceline
