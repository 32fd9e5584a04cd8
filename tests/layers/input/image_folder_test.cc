#include "paceline/layers/input/image_folder.h"

#include <gmock/gmock.h>

#include <set>

#include "layers/input/image_encoder.h"
#include "layers/input/thread_allocations.h"
#include "paceline/layers/input/batch_stream.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Data opened(const std::filesystem::path& folder, const DataOptions& options = {.image_size = 16}) {
  auto data = open_data(folder.string(), options);
  EXPECT_TRUE(data) << data.error().message;
  return data ? data.value() : Data{};
}

std::string error(const std::string& spec, const DataOptions& options = {}) {
  const auto data = open_data(spec, options);
  return data ? "was accepted" : data.error().message;
}

std::vector<std::string> names(const Dataset& set) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < set.size(); ++i) all.emplace_back(set.files->name(i));
  return all;
}

const Bytes kImage = plain_jpeg(20, 20, 50, 100, 150);

TEST(ImageFolder, ClassesAndFilesAreInTheOrderOfTheirNames) {  // IF-1
  const TemporaryFolder folder;
  for (const char* file : {"train/dog/b.JPG", "train/dog/a.png", "train/cat/deep/er/1.jpeg",
                           "train/cat/2.jpg", "val/dog/1.jpg", "val/cat/1.jpg"}) {
    write_file(folder / file, kImage);  // whatever they are called: JPEG
  }
  const Data data = opened(folder.path());
  EXPECT_EQ(data.name, "images:" + folder.path().string());
  EXPECT_THAT(names(*data.train), ElementsAre("train/cat/2.jpg", "train/cat/deep/er/1.jpeg",
                                              "train/dog/a.png", "train/dog/b.JPG"));
  EXPECT_THAT(data.train->labels, ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(data.test->labels, ElementsAre(0, 1));
  EXPECT_EQ(data.train->classes, 2U);
  EXPECT_EQ(data.train->image, (Shape{3, 16, 16}));
  EXPECT_FALSE(data.held_out);
  EXPECT_EQ(open_data(data.name).value().train->image, (Shape{3, 224, 224}));
  EXPECT_EQ(opened(folder.path(), {.usual_image_size = 32}).train->image, (Shape{3, 32, 32}));
}

TEST(ImageFolder, TestCountsWhereThereIsNoVal) {
  const TemporaryFolder folder;
  write_image_folder(folder.path(), 2, 3, 2);
  std::filesystem::rename(folder / "val", folder / "test");
  EXPECT_EQ(names(*opened(folder.path()).test)[3], "test/1/001.jpg");
}

TEST(ImageFolder, ATenthIsHeldOutWhereNothingIsThereToTestOn) {  // IF-2
  const TemporaryFolder folder;
  write_image_folder(folder.path(), 3, 25, 0);
  write_file(folder / "train/one/1.jpg", kImage);
  for (const bool flat : {false, true}) {
    if (flat) {  // the folder itself holds the classes
      for (const std::string& name : listing(folder / "train")) {
        std::filesystem::rename(folder / "train" / name, folder / name);
      }
      std::filesystem::remove(folder / "train");
    }
    const Data data = opened(folder.path());
    EXPECT_TRUE(data.held_out);
    EXPECT_EQ(data.train->size(), 3U * 23 + 1);
    EXPECT_EQ(data.test->size(), 3U * 2);
    std::set<std::string> all;
    for (const Dataset* set : {data.train.get(), data.test.get()}) {
      for (std::size_t i = 0; i < set->size(); ++i) {
        const std::string name(set->files->name(i));
        EXPECT_TRUE(all.insert(name).second) << name;
        const std::string label = set->labels[i] == 3 ? "one" : std::to_string(set->labels[i]);
        EXPECT_THAT(name, HasSubstr(label + "/"));
      }
    }
    EXPECT_EQ(all.size(), 76U);
    EXPECT_EQ(names(*opened(folder.path()).test), names(*data.test)) << "the same every time";
  }
}

TEST(ImageFolder, OtherFilesAreIgnoredAndCounted) {  // IF-3
  const TemporaryFolder folder;
  write_image_folder(folder.path(), 2, 3, 2);
  for (const char* file : {"train/README", "train/0/notes.txt", "train/0/._000.jpg",
                           "train/1/x.gif", "val/Thumbs.db", "outside.txt"}) {
    write_file(folder / file, {1});
  }
  std::filesystem::create_directory(folder / "train/.cache");
  const Data data = opened(folder.path());
  EXPECT_EQ(data.ignored_files, 5U);
  EXPECT_EQ(data.train->size(), 6U);
  EXPECT_EQ(data.train->classes, 2U);
}

TEST(ImageFolder, ClassesAndFilesMayBeLinksAndLinksToFoldersWithinAClassAreCounted) {  // IF-3
  const TemporaryFolder folder, elsewhere;
  write_image_folder(folder.path(), 2, 3, 2);
  write_file(elsewhere / "a.jpg", kImage);
  write_file(elsewhere / "below/b.jpg", kImage);
  std::filesystem::create_directory_symlink(elsewhere.path(), folder / "train/2");
  std::filesystem::create_symlink(elsewhere / "a.jpg", folder / "train/0/linked.jpg");
  std::filesystem::create_directory_symlink(elsewhere.path(), folder / "train/1/other");
  std::filesystem::create_directory_symlink(folder / "train/1", folder / "train/1/itself.jpg");
  const Data data = opened(folder.path());
  EXPECT_EQ(data.train->classes, 3U);
  EXPECT_THAT(names(*data.train),
              testing::ElementsAre("train/0/000.jpg", "train/0/001.jpg", "train/0/002.jpg",
                                   "train/0/linked.jpg", "train/1/000.jpg", "train/1/001.jpg",
                                   "train/1/002.jpg", "train/2/a.jpg", "train/2/below/b.jpg"));
  EXPECT_EQ(data.ignored_files, 2U);
}

TEST(ImageFolder, WhatIsWrongIsNamed) {
  {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder / "train");
    EXPECT_THAT(error(folder.path()),
                AllOf(HasSubstr("train: holds no class folder"), HasSubstr("train/CLASS/*.jpg")));
    write_file(folder / "train/cat/1.jpg", kImage);
    EXPECT_THAT(error(folder.path()), HasSubstr("one class folder alone, 'cat'"));
    std::filesystem::create_directory(folder / "train/dog");
    EXPECT_THAT(error(folder.path()),
                HasSubstr("train/dog: the class folder holds no JPEG or PNG file"));
    write_file(folder / "train/dog/1.jpg", kImage);
    EXPECT_THAT(error(folder.path()), HasSubstr("no class has two images"));
    write_file(folder / "val", {1});
    EXPECT_THAT(error(folder.path()),
                HasSubstr("val: is a file where a folder of classes belongs"));
    std::filesystem::remove(folder / "val");
    write_file(folder / "val/dogs/1.jpg", kImage);
    EXPECT_THAT(error(folder.path()),
                AllOf(HasSubstr("val/dogs: the training part has no class of this name"),
                      HasSubstr("did you mean 'dog'?")));
    std::filesystem::remove_all(folder / "val/dogs");
    EXPECT_THAT(error(folder.path()), HasSubstr("val: holds no JPEG or PNG file"));
    std::filesystem::remove_all(folder / "train");
    EXPECT_THAT(error("images:" + folder.path().string()), HasSubstr("holds val/ but no train/"));
    write_file(folder / "train", {1});
    EXPECT_THAT(error(folder.path()), HasSubstr("train: is a file"));
  }
  const TemporaryFolder folder;
  EXPECT_THAT(error(folder.path()), HasSubstr("nor class folders with JPEG or PNG files"));
  EXPECT_THAT(error("images:" + (folder / "none").string()), HasSubstr("no such folder"));
  EXPECT_THAT(error("image:" + folder.path().string()), HasSubstr("did you mean 'images'?"));
  EXPECT_THAT(error("images:" + folder.path().string(), {.image_size = 5000}),
              HasSubstr("--image-size 5000 is not from 1 to 4096"));
  EXPECT_THAT(error("synthetic", {.image_size = 64}), HasSubstr("--image-size"));
}

TEST(ImageFolder, AClassThatCannotBeReadIsOneError) {  // IF-4
  const TemporaryFolder folder;
  write_image_folder(folder.path(), 4, 5, 1);
  for (const std::string& name : listing(folder / "train/2")) {
    write_bytes(folder / "train/2" / name, {});
  }
  EXPECT_THAT(error(folder.path()),
              AllOf(HasSubstr("train/2/000.jpg"), HasSubstr("none of the 5 images of its class"),
                    HasSubstr("empty")));
}

TEST(ImageFolder, TooLittleMemoryIsAnErrorAndNoException) {
  const TemporaryFolder folder;
  const std::vector<std::uint16_t> black(std::size_t{200} * 200 * 3);
  for (const char* file : {"train/0/1.png", "train/0/2.png", "train/1/1.png", "train/1/2.png"}) {
    write_file(folder / file, encode_png(200, 200, black));
  }
  const AllocationLimit limit(black.size() - 1);
  EXPECT_THAT(error(folder.path()),
              AllOf(HasSubstr("none of the 1 images of its class"), HasSubstr("no memory")));
}

TEST(ImageFolder, ASetOfWhichMostCannotBeReadIsOneError) {  // IF-4
  const TemporaryFolder folder;
  write_image_folder(folder.path(), 2, 10, 1);
  for (const char* c : {"0", "1"}) {
    for (int i = 0; i < 5; ++i) {
      write_bytes(folder / fmt::format("train/{}/{:03}.jpg", c, i), std::vector<std::uint8_t>{'x'});
    }
  }
  const Data half = opened(folder.path());
  EXPECT_EQ(half.reading().skipped.size(), 10U);
  EXPECT_EQ(half.reading().skipped.at("train/0/000.jpg"), "neither JPEG nor PNG: begins with 78");
  write_bytes(folder / "train/1/009.jpg", {});
  EXPECT_THAT(error(folder.path()), HasSubstr("nor can 11 of 20 images that were tried"));
}

}  // namespace
}  // namespace paceline
