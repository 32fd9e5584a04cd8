#include "paceline/layers/input/idx.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include "temporary_folder.h"

namespace paceline {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using Bytes = std::vector<std::uint8_t>;

Bytes words(std::initializer_list<std::uint32_t> all) {
  Bytes bytes;
  for (const std::uint32_t word : all) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<std::uint8_t>(word >> shift));
    }
  }
  return bytes;
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Image i holds i in every pixel.
Bytes images(std::uint32_t count, std::uint32_t side = 28) {
  Bytes bytes = words({0x803, count, side, side});
  for (std::uint32_t i = 0; i < count; ++i) {
    bytes.insert(bytes.end(), side * side, static_cast<std::uint8_t>(i));
  }
  return bytes;
}

Bytes labels(std::uint32_t count) {
  Bytes bytes = words({0x801, count});
  for (std::uint32_t i = 0; i < count; ++i) bytes.push_back(static_cast<std::uint8_t>(i % 10));
  return bytes;
}

void write_zipped(const std::filesystem::path& path, const Bytes& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())),
            static_cast<int>(bytes.size()));
  ASSERT_EQ(gzclose(file), Z_OK);
}

/// Four whole files: 12 training and 7 test images.
struct Files {
  TemporaryFolder folder;
  const std::filesystem::path train_images = folder / "train-images-idx3-ubyte";
  const std::filesystem::path train_labels = folder / "train-labels-idx1-ubyte";
  const std::filesystem::path test_images = folder / "t10k-images-idx3-ubyte";
  const std::filesystem::path test_labels = folder / "t10k-labels-idx1-ubyte";

  Files() {
    write_bytes(train_images, images(12));
    write_bytes(train_labels, labels(12));
    write_bytes(test_images, images(7));
    write_bytes(test_labels, labels(7));
  }
  /// The one line that opening them as MNIST ends with; checked to name `file` and the remedy.
  std::string error(const std::filesystem::path& file) const {
    const auto data = open_data("mnist:" + folder.path().string());
    EXPECT_FALSE(data);
    if (data) return "";
    EXPECT_THAT(data.error().message,
                AllOf(HasSubstr(file.string()), HasSubstr("tools/fetch-data mnist"),
                      testing::Not(HasSubstr("\n"))));
    return data.error().message;
  }
  std::string error_with(const std::filesystem::path& file, const Bytes& content) const {
    write_bytes(file, content);
    return error(file);
  }
};

TEST(Idx, PlainFilesAreRead) {
  const Files files;
  const auto data = open_data("mnist:" + files.folder.path().string());
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data.value().name, "mnist");
  const Dataset& train = *data.value().train;
  EXPECT_EQ(train.image, (Shape{1, 28, 28}));
  EXPECT_EQ(train.classes, 10U);
  EXPECT_EQ(train.size(), 12U);
  EXPECT_EQ(data.value().test->size(), 7U);
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(train.labels[i], i % 10);
    EXPECT_EQ(train.pixels[i * 784], i);
    EXPECT_EQ(train.pixels[i * 784 + 783], i);
  }
  EXPECT_NEAR(data.value().mean.at(0), 5.5 / 255, 1e-6);
  EXPECT_NEAR(data.value().deviation.at(0), std::sqrt(143.0 / 12) / 255, 1e-6);
}

TEST(Idx, ZippedFilesHoldTheSameAndPlainOnesComeFirst) {
  const Files files;
  const Bytes pixels = open_data(files.folder.path().string()).value().train->pixels;
  std::filesystem::remove(files.train_images);
  write_zipped(files.train_images.string() + ".gz", images(12));
  std::filesystem::remove(files.train_labels);
  write_zipped(files.train_labels.string() + ".gz", labels(12));
  write_bytes(files.test_images.string() + ".gz", Bytes(3));  // never looked at
  const auto data = open_data(files.folder.path().string());
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data.value().train->pixels, pixels);
}

TEST(Idx, OnlyClothesAreMirroredAndNothingIsShifted) {
  const Files files;
  const std::string folder = files.folder.path().string();
  EXPECT_FALSE(open_data(folder).value().flip);
  EXPECT_EQ(open_data(folder).value().name, "idx");
  EXPECT_FALSE(open_data("mnist:" + folder).value().flip);
  EXPECT_TRUE(open_data("fashion-mnist:" + folder).value().flip);
  EXPECT_EQ(open_data("fashion-mnist:" + folder).value().padding, 0U);
}

TEST(Idx, UnnamedSetsMayHaveAnySize) {
  const Files files;
  write_bytes(files.train_images, images(12, 5));
  write_bytes(files.test_images, images(7, 5));
  EXPECT_EQ(open_data(files.folder.path().string()).value().train->image, (Shape{1, 5, 5}));
  EXPECT_THAT(files.error(files.train_images), HasSubstr("wrong dimensions, 5x5 where mnist has"));
  write_bytes(files.test_images, images(7, 6));
  EXPECT_THAT(open_data(files.folder.path().string()).error().message,
              AllOf(HasSubstr(files.test_images.string()),
                    HasSubstr("6x6 where the training images have 5x5")));
}

TEST(Idx, MissingFilesAreNamed) {
  const Files files;
  std::filesystem::remove(files.test_labels);
  EXPECT_THAT(files.error(files.test_labels), HasSubstr("No such file"));
}

TEST(Idx, WrongMagicTruncationTrailingBytesAndLabelsAreNamed) {
  const auto error = [](auto file, const Bytes& content) {
    const Files files;
    return files.error_with(files.*file, content);
  };
  EXPECT_THAT(error(&Files::train_images, labels(12) + Bytes(100)),
              HasSubstr("wrong magic 0x00000801, not 0x00000803"));
  EXPECT_THAT(error(&Files::train_labels, images(1)),
              HasSubstr("wrong magic 0x00000803, not 0x00000801"));
  EXPECT_THAT(error(&Files::train_images, Bytes(10)), HasSubstr("truncated, 10 of 16 bytes"));
  EXPECT_THAT(error(&Files::train_images, {}), HasSubstr("truncated, 0 of 16 bytes"));
  Bytes cut = images(12);
  cut.pop_back();
  EXPECT_THAT(error(&Files::train_images, cut), HasSubstr("truncated, 9423 of 9424 bytes"));
  EXPECT_THAT(error(&Files::train_images, images(12) + Bytes(1)),
              HasSubstr("trailing bytes after the 9424"));
  EXPECT_THAT(error(&Files::train_labels, labels(12) + Bytes(5)),
              HasSubstr("trailing bytes after the 20"));
  EXPECT_THAT(error(&Files::train_labels, labels(11)), HasSubstr("11 labels for 12 images"));
  Bytes bad = labels(7);
  bad[8 + 4] = 200;
  EXPECT_THAT(error(&Files::test_labels, bad),
              HasSubstr("label 200 at record 4, where 0 to 9 belong"));
}

TEST(Idx, HeadersThatPromiseTheAbsurdAreRefusedWithoutTheMemoryForIt) {
  for (const Bytes& header :
       {words({0x803, 0xffffffff, 0xffffffff, 0xffffffff}), words({0x803, 0xffffffff, 28, 28}),
        words({0x803, 0, 28, 28}), words({0x803, 7, 0, 28}), words({0x803, 1, 1U << 16, 1})}) {
    const Files files;
    EXPECT_THAT(files.error_with(files.train_images, header + Bytes(784)),
                HasSubstr("wrong dimensions"));
  }
  // Four gigabytes are promised, a few bytes are there: what is not read is not allocated.
  const Files files;
  EXPECT_THAT(files.error_with(files.train_images, words({0x803, 5'000'000, 28, 28}) + Bytes(9)),
              HasSubstr("truncated, 25 of 3920000016 bytes"));
}

TEST(Idx, DamagedZipsAreErrorsAtEveryLength) {
  const Files files;
  const auto zipped = files.train_images.string() + ".gz";
  write_zipped(zipped, images(12));
  std::filesystem::remove(files.train_images);
  const Bytes whole = read_bytes(zipped);
  ASSERT_TRUE(open_data("mnist:" + files.folder.path().string()));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_bytes(zipped, std::span(whole).first(length));
    EXPECT_THAT(files.error(zipped), testing::Not(HasSubstr("trailing"))) << length;
  }
  Bytes flipped = whole;
  flipped[whole.size() - 6] ^= 1;  // in the checksum
  EXPECT_THAT(files.error_with(zipped, flipped), HasSubstr("damaged"));
  EXPECT_THAT(files.error_with(zipped, Bytes(50, 'x')), HasSubstr("wrong magic 0x78787878"));
}

}  // namespace
}  // namespace paceline
