// Devices that take raw batches.
#include <gtest/gtest.h>

#include "compute/small_program.h"
#include "paceline/compute/cut_images_internal.h"

namespace paceline::test {
namespace {

TEST(CutImages, ShiftsMirrorsAndPadsByTheRule) {
  const std::vector<std::uint8_t> bytes{1, 2, 3,  //
                                        4, 5, 6};
  const std::vector<float> scale{2}, shift{0.5};
  const auto cut = [&](const Cut& where) {
    std::vector<float> out(2 * 2, -1);
    const std::vector<Cut> cuts{where};
    cut_images({bytes, {1, 2, 3}, cuts, scale, shift}, {1, 2, 2}, out);
    return out;
  };
  EXPECT_EQ(cut({.top = 0, .left = 1}), (std::vector<float>{4.5, 6.5, 10.5, 12.5}));
  EXPECT_EQ(cut({.top = 0, .left = 1, .flip = 1}), (std::vector<float>{6.5, 4.5, 12.5, 10.5}));
  EXPECT_EQ(cut({.top = -1, .left = -1}), (std::vector<float>{0, 0, 0, 2.5}));
  EXPECT_EQ(cut({.top = 1, .left = 2, .flip = 1}), (std::vector<float>{0, 12.5, 0, 0}));
}

TEST(RawBatch, TheReferenceComputesWhatItsCutImagesGive) {
  const Shape stored{3, 10, 12}, image{3, 8, 8};
  const Program program =
      chain(image, {{Convolution{}, 4}, {BatchNorm{}}, {Relu{}}, {Linear{}, 5}});
  constexpr std::size_t kImages = 4;
  Rng rng(9);
  std::vector<std::uint8_t> bytes(kImages * stored.count());
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(rng.below(256));
  const std::vector<Cut> cuts{{0, 0, 0}, {-3, 2, 1}, {2, 4, 1}, {1, -4, 0}};
  const std::vector<float> scale{0.01F, 0.02F, 0.03F}, shift{-1, 0, 1};
  const std::vector<std::int32_t> labels{0, 4, 2, 1};
  const RawBatch raw{bytes, stored, cuts, scale, shift};
  std::vector<float> cut(kImages * image.count());
  cut_images(raw, image, cut);

  const auto device = open_device("reference", {}).value();
  const auto executable = device->compile(program, {.batch = kImages}).value();
  ASSERT_TRUE(executable->takes_raw());
  const std::vector<float> x = random_parameters(program, 1);
  std::vector<float> buffers[2], g[2];
  double loss[2];
  Evaluation evaluation[2];
  for (const int k : {0, 1}) {
    const Batch batch =
        k == 0 ? Batch{cut, labels} : Batch{.images = {}, .labels = labels, .raw = &raw};
    buffers[k] = random_buffers(program, 2);
    g[k].resize(program.parameter_elements);
    loss[k] = executable->train_step(view(x), view(buffers[k]), view(g[k]), batch, 1);
    evaluation[k] = executable->evaluate(view(x), view(std::as_const(buffers[k])), batch);
  }
  EXPECT_EQ(loss[0], loss[1]);
  EXPECT_EQ(g[0], g[1]);
  EXPECT_EQ(buffers[0], buffers[1]);
  EXPECT_EQ(evaluation[0].loss_sum, evaluation[1].loss_sum);
}

}  // namespace
}  // namespace paceline::test
