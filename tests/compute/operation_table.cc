#include "compute/operation_table.h"

#include <fmt/format.h>

#include "compute/chain.h"
#include "paceline/compute/random.h"

namespace paceline::test {
namespace {

constexpr std::size_t kClasses = 3;

/// `image` through a 1x1 convolution to `channels`, then the links, then a linear layer.
Program inside(Shape image, std::size_t channels, std::vector<Link> links) {
  links.insert(links.begin(), {Convolution{1, 1, 0}, channels});
  links.push_back({Linear{}, kClasses});
  return chain(image, links);
}

std::vector<Row> convolutions() {
  return {
      {"Convolution_first_3x3", chain({3, 9, 9}, {{Convolution{3, 1, 1}, 16}, {Linear{}, 3}}), 2},
      {"Convolution_first_5x5_one_channel",
       chain({1, 8, 8}, {{Convolution{5, 1, 2}, 8}, {Linear{}, 4}}), 3},
      {"Convolution_5x5_pad_2", inside({2, 7, 7}, 16, {{Convolution{5, 1, 2}, 32}}), 2},
      {"Convolution_3x3_stride_2", inside({3, 9, 9}, 16, {{Convolution{3, 2, 1}, 16}}), 3},
      {"Convolution_2x2_stride_2_that_leaves_a_rest",
       inside({3, 7, 7}, 5, {{Convolution{2, 2, 0}, 7}}), 1},
      {"Convolution_odd_channels", inside({2, 6, 5}, 17, {{Convolution{3, 1, 0}, 9}}), 2},
      {"Convolution_of_a_1x1_image", inside({3, 1, 1}, 4, {{Convolution{1, 1, 0}, 6}}), 5},
      {"Convolution_3x3_pad_1_of_a_1x1_image", inside({3, 1, 1}, 4, {{Convolution{3, 1, 1}, 6}}),
       1},
      {"Convolution_one_channel_to_one", inside({1, 5, 5}, 1, {{Convolution{3, 1, 1}, 1}}), 1},
      {"Convolution_to_the_classes",
       chain({2, 4, 4}, {{Convolution{1, 1, 0}, 8}, {Convolution{4, 1, 0}, 3}}), 4},
  };
}

std::vector<Row> others() {
  return {
      {"Relu_alone_after_pool", inside({3, 6, 6}, 16, {{MaxPool{2, 2}}, {Relu{}}}), 2},
      {"Relu_fused_into_a_convolution", inside({3, 6, 6}, 8, {{Relu{}}}), 3},
      {"Relu_fused_into_a_linear_layer", inside({3, 2, 2}, 8, {{Linear{}, 19}, {Relu{}}}), 3},
      {"Relu_first", chain({2, 3, 3}, {{Relu{}}, {Linear{}, 3}}), 2},
      {"Relu_twice", inside({3, 4, 4}, 8, {{Relu{}}, {Relu{}}}), 2},
      {"MaxPool_2_2", inside({3, 8, 8}, 16, {{MaxPool{2, 2}}}), 2},
      {"MaxPool_2_2_that_leaves_a_rest", inside({3, 7, 5}, 16, {{MaxPool{2, 2}}}), 2},
      {"MaxPool_3_2_overlapping", inside({3, 9, 9}, 16, {{MaxPool{3, 2}}}), 2},
      {"MaxPool_3_2_one_channel", inside({2, 7, 7}, 1, {{MaxPool{3, 2}}}), 1},
      {"MaxPool_after_relu", inside({3, 8, 8}, 10, {{Relu{}}, {MaxPool{2, 2}}}), 3},
      {"MaxPool_3_2_after_relu", inside({3, 7, 7}, 16, {{Relu{}}, {MaxPool{3, 2}}}), 2},
      {"MaxPool_of_a_1x1_image", inside({3, 1, 1}, 5, {{MaxPool{1, 1}}}), 2},
      {"MaxPool_first", chain({3, 6, 6}, {{MaxPool{2, 2}}, {Linear{}, 3}}), 2},
      {"Linear_first", chain({3, 4, 5}, {{Linear{}, 3}}), 2},
      {"Linear_of_an_image", inside({3, 3, 2}, 20, {{Linear{}, 33}}), 4},
      {"Linear_of_a_vector", inside({3, 2, 2}, 4, {{Linear{}, 16}, {Linear{}, 7}}), 1},
      {"Linear_from_one_to_one", inside({1, 1, 1}, 1, {{Linear{}, 1}}), 2},
      {"Linear_ten_classes", chain({5, 1, 1}, {{Linear{}, 10}}), 16},
      {"Linear_two_classes", chain({5, 1, 1}, {{Linear{}, 2}}), 1},
      {"Dropout_of_a_vector", inside({3, 2, 2}, 4, {{Linear{}, 50}, {Dropout{0.5}}}), 4},
      {"Dropout_of_an_image", inside({3, 4, 4}, 18, {{Dropout{0.3}}}), 2},
      {"Dropout_of_nothing", inside({3, 4, 4}, 3, {{Dropout{0.0}}}), 2},
      {"Dropout_first", chain({3, 4, 4}, {{Dropout{0.25}}, {Linear{}, 3}}), 3},
  };
}

std::vector<Row> networks() {
  const Program cnn7_in_small = chain({3, 20, 20}, {{Convolution{5, 1, 0}, 6},
                                                    {Relu{}},
                                                    {MaxPool{}},
                                                    {Convolution{5, 1, 0}, 8},
                                                    {Relu{}},
                                                    {MaxPool{}},
                                                    {Convolution{2, 1, 0}, 6},
                                                    {Relu{}},
                                                    {Linear{}, 12},
                                                    {Relu{}},
                                                    {Dropout{0.5}},
                                                    {Linear{}, 10}});
  const Program lenet_in_small = chain({1, 12, 12}, {{Convolution{5, 1, 2}, 4},
                                                     {Relu{}},
                                                     {MaxPool{}},
                                                     {Convolution{5, 1, 2}, 6},
                                                     {Relu{}},
                                                     {MaxPool{}},
                                                     {Linear{}, 20},
                                                     {Relu{}},
                                                     {Linear{}, 10}});
  return {{"Cnn7_in_small", cnn7_in_small, 3}, {"Lenet_in_small", lenet_in_small, 3}};
}

Row random_row(std::size_t index, Rng& rng) {
  const auto between = [&](std::size_t low, std::size_t high) {
    return low + static_cast<std::size_t>(rng.below(high - low + 1));
  };
  const Shape image{between(1, 4), between(3, 10), between(3, 10)};
  const std::size_t kernel = between(1, 3), channels = between(1, 20);
  std::vector<Link> links = {
      {Convolution{kernel, between(1, 2), between(0, kernel - 1)}, between(1, 20)}};
  if (rng.below(2) != 0) links.push_back({Relu{}});
  if (rng.below(2) != 0) links.push_back({MaxPool{1, between(1, 2)}});
  if (rng.below(2) != 0) links.push_back({Dropout{rng.uniform() * 0.8}});
  if (rng.below(2) != 0) links.insert(links.end(), {{Linear{}, between(1, 40)}, {Relu{}}});
  return {fmt::format("Random_{}", index), inside(image, channels, links), between(1, 5)};
}

}  // namespace

std::vector<Row> operation_table(std::uint64_t seed) {
  std::vector<Row> rows;
  for (const auto& family : {convolutions(), others(), networks()})
    rows.insert(rows.end(), family.begin(), family.end());
  Rng rng(seed);
  for (std::size_t k = 0; k < 20; ++k) rows.push_back(random_row(k, rng));
  return rows;
}

}  // namespace paceline::test
