#include "paceline/layers/input/dataset.h"

#include <gmock/gmock.h>

#include "temporary_folder.h"

namespace paceline {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string error(std::string_view spec) {
  const auto data = open_data(spec);
  EXPECT_FALSE(data) << spec;
  return data ? "" : data.error().message;
}

TEST(OpenData, TheBuiltInSetTakesItsSizesAndSeed) {
  const auto data = open_data("synthetic:test=20,seed=7,train=30");
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data.value().name, "synthetic:seed=7,train=30,test=20");
  EXPECT_EQ(data.value().train->size(), 30U);
  EXPECT_EQ(data.value().test->size(), 20U);
  EXPECT_EQ(data.value().train->image, (Shape{3, 32, 32}));
  EXPECT_EQ(data.value().mean.size(), 3U);
  const auto again = open_data(data.value().name);
  EXPECT_EQ(again.value().train->pixels, data.value().train->pixels);
}

TEST(OpenData, MistakesInTheBuiltInSetsOptionsAreNamed) {
  EXPECT_THAT(error("synthetic:train=0"), HasSubstr("0 images in 'train'"));
  EXPECT_THAT(error("synthetic:train=99999999"), HasSubstr("choose 1 to 1000000"));
  EXPECT_THAT(error("synthetic:tran=5"), HasSubstr("did you mean 'train'?"));
  for (const char* bad :
       {"synthetic:seed", "synthetic:seed=", "synthetic:seed=-1", "synthetic:seed=1x",
        "synthetic:seed=99999999999999999999", "synthetic:,", "synthetic:=5x"}) {
    EXPECT_THAT(error(bad), HasSubstr("has no number")) << bad;
  }
}

TEST(OpenData, WhatIsNoDataSetIsToldTheRemedy) {
  const TemporaryFolder folder;
  EXPECT_THAT(error(folder.path().string()),
              AllOf(HasSubstr("holds neither"), HasSubstr("tools/fetch-data")));
  EXPECT_THAT(error((folder / "none").string()), HasSubstr("no folder"));
  EXPECT_THAT(error(""), HasSubstr("no folder ''"));
  EXPECT_THAT(error("cifar10"), HasSubstr("run tools/fetch-data cifar10, then give cifar10:data"));
  EXPECT_THAT(error("cifar:" + folder.path().string()), HasSubstr("did you mean 'cifar10'?"));
  EXPECT_THAT(error("cifar10:" + (folder / "none").string()),
              AllOf(HasSubstr("data_batch_1.bin"), HasSubstr("No such file")));
  EXPECT_THAT(error("mnist:" + folder.path().string()),
              AllOf(HasSubstr("train-images-idx3-ubyte"), HasSubstr("tools/fetch-data mnist")));
}

TEST(MeasureChannels, AChannelOfOneColourHasDeviationOne) {
  auto set = std::make_shared<Dataset>();
  set->image = {2, 1, 2};
  set->pixels = {51, 0, 51, 255};
  set->labels = {0};
  Data data;
  data.train = set;
  measure_channels(data);
  EXPECT_THAT(data.mean, testing::ElementsAre(testing::FloatEq(0.2F), testing::FloatEq(0.5F)));
  EXPECT_THAT(data.deviation, testing::ElementsAre(1.0F, testing::FloatEq(0.5F)));
}

}  // namespace
}  // namespace paceline
