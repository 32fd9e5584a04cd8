#include "compute/operation_table.h"

namespace paceline::test {
namespace {

std::vector<Row> convolutions() {
  return {
      {"Convolution_first_3x3", chain({3, 9, 9}, {{Convolution{3, 1, 1}, 16}, {Linear{}, 3}}), 2},
      {"Convolution_first_5x5_one_channel",
       chain({1, 8, 8}, {{Convolution{5, 1, 2}, 8}, {Linear{}, 4}}), 3},
      {"Convolution_5x5_pad_2", inside({2, 7, 7}, 16, {{Convolution{5, 1, 2}, 32}}), 2},
      {"Convolution_3x3_in_whole_blocks", inside({3, 9, 8}, 16, {{Convolution{3, 1, 1}, 48}}), 3},
      {"Convolution_3x3_of_many_tiles",
       inside({3, 12, 12}, 32, {{Convolution{3, 1, 1, false}, 16}, {Relu{}}}), 8},
      {"Convolution_5x5_without_padding", inside({3, 8, 9}, 32, {{Convolution{5, 1, 0}, 16}}), 2},
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
      {"Convolution_without_bias", inside({3, 6, 6}, 16, {{Convolution{3, 1, 1, false}, 20}}), 2},
      {"Convolution_without_bias_first",
       chain({3, 7, 7}, {{Convolution{3, 2, 1, false}, 8}, {Relu{}}, {Linear{}, 3}}), 2},
      {"Convolution_without_bias_one_channel_to_one",
       inside({1, 4, 4}, 1, {{Convolution{3, 1, 1, false}, 1}}), 1},
      {"Convolution_1x1_stride_2", inside({3, 8, 8}, 16, {{Convolution{1, 2, 0, false}, 32}}), 2},
      {"Convolution_1x1_stride_2_of_an_odd_image",
       inside({3, 7, 5}, 9, {{Convolution{1, 2, 0}, 17}}), 3},
      {"Convolution_7x7_stride_2_pad_3",
       chain({3, 16, 16}, {{Convolution{7, 2, 3, false}, 8}, {Linear{}, 3}}), 2},
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
      {"MaxPool_3_2_pad_1", inside({3, 8, 8}, 16, {{MaxPool{3, 2, 1}}}), 2},
      {"MaxPool_3_2_pad_1_of_an_odd_image", inside({3, 7, 9}, 5, {{MaxPool{3, 2, 1}}}), 2},
      {"MaxPool_2_2_pad_1", inside({3, 6, 6}, 8, {{MaxPool{2, 2, 1}}}), 2},
      {"MaxPool_3_1_pad_1_one_channel", inside({2, 5, 5}, 1, {{MaxPool{3, 1, 1}}}), 1},
      {"MaxPool_3_1_pad_1_of_a_1x1_image", inside({3, 1, 1}, 6, {{MaxPool{3, 1, 1}}}), 2},
      {"MaxPool_pad_1_after_relu", inside({3, 8, 8}, 10, {{Relu{}}, {MaxPool{3, 2, 1}}}), 3},
      {"MaxPool_2_2_seven_windows_a_row_after_relu",
       inside({3, 14, 15}, 40, {{Relu{}}, {MaxPool{2, 2}}}), 1},
      {"MaxPool_3_3_side_by_side", inside({3, 10, 7}, 19, {{MaxPool{3, 3}}}), 2},
      {"MaxPool_2_3_that_skips", inside({3, 8, 8}, 18, {{Relu{}}, {MaxPool{2, 3}}}), 1},
      {"MaxPool_5_3_pad_2", inside({3, 11, 8}, 20, {{MaxPool{5, 3, 2}}}), 1},
      {"MaxPool_16_1_whose_winners_fill_words", inside({2, 17, 19}, 3, {{MaxPool{16, 1}}}), 2},
      {"MaxPool_of_a_vector_after_relu",
       inside({3, 2, 2}, 4, {{Linear{}, 21}, {Relu{}}, {MaxPool{1, 1}}}), 3},
      {"MaxPool_of_whole_blocks_to_the_classes",
       chain({3, 5, 4}, {{Convolution{3, 1, 1}, 16}, {Relu{}}, {MaxPool{4, 4}}}), 3},
      {"MaxPool_after_an_addition_and_relu",
       around({3, 6, 6}, 8,
              [](ProgramSketch& s) {
                const std::size_t x = s.last();
                s.add(s.apply({Convolution{3, 1, 1}, 8}, x), x);
                s.apply_all({{Relu{}}, {MaxPool{3, 2, 1}}}, s.last());
              }),
       2},
      {"AveragePool_2_2", inside({3, 8, 8}, 16, {{AveragePool{2, 2}}}), 2},
      {"AveragePool_2_2_that_leaves_a_rest", inside({3, 7, 5}, 9, {{AveragePool{2, 2}}}), 2},
      {"AveragePool_3_2_overlapping", inside({3, 9, 9}, 17, {{AveragePool{3, 2}}}), 2},
      {"AveragePool_2_3_that_skips", inside({3, 8, 8}, 4, {{AveragePool{2, 3}}}), 2},
      {"AveragePool_4_1_overlapping", inside({3, 6, 9}, 33, {{AveragePool{4, 1}}}), 1},
      {"AveragePool_one_channel", inside({2, 6, 6}, 1, {{AveragePool{2, 2}}}), 1},
      {"AveragePool_of_a_1x1_image", inside({3, 1, 1}, 5, {{AveragePool{1, 1}}}), 2},
      {"AveragePool_after_relu", inside({3, 8, 8}, 8, {{Relu{}}, {AveragePool{2, 2}}}), 2},
      {"AveragePool_first", chain({3, 6, 6}, {{AveragePool{2, 2}}, {Linear{}, 3}}), 2},
      {"GlobalAveragePool_then_linear", inside({3, 8, 8}, 16, {{GlobalAveragePool{}}}), 2},
      {"GlobalAveragePool_odd_channels", inside({3, 5, 7}, 19, {{GlobalAveragePool{}}}), 3},
      {"GlobalAveragePool_one_channel", inside({2, 6, 6}, 1, {{GlobalAveragePool{}}}), 1},
      {"GlobalAveragePool_of_a_1x1_image", inside({3, 1, 1}, 5, {{GlobalAveragePool{}}}), 4},
      {"GlobalAveragePool_after_relu", inside({3, 7, 7}, 12, {{Relu{}}, {GlobalAveragePool{}}}), 2},
      {"GlobalAveragePool_to_the_classes",
       chain({3, 6, 6}, {{Convolution{3, 1, 1}, 5}, {GlobalAveragePool{}}}), 4},
      {"PaddedShortcut_alone", inside({3, 8, 8}, 8, {{PaddedShortcut{2}, 16}}), 2},
      {"PaddedShortcut_of_an_odd_image", inside({3, 7, 5}, 5, {{PaddedShortcut{2}, 9}}), 3},
      {"PaddedShortcut_without_stride", inside({3, 4, 4}, 16, {{PaddedShortcut{1}, 32}}), 2},
      {"PaddedShortcut_without_padding", inside({3, 6, 6}, 16, {{PaddedShortcut{2}, 16}}), 2},
      {"PaddedShortcut_one_channel", inside({3, 5, 5}, 1, {{PaddedShortcut{2}, 3}}), 1},
      {"PaddedShortcut_then_relu", inside({3, 6, 6}, 8, {{PaddedShortcut{2}, 16}, {Relu{}}}), 2},
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
      {"LabelSmoothing", chain({5, 2, 2}, {{Linear{}, 10}}, {0.1}), 6},
      {"LabelSmoothing_two_classes", chain({5, 1, 1}, {{Linear{}, 2}}, {0.3}), 1},
      {"LabelSmoothing_one_class", chain({5, 1, 1}, {{Linear{}, 1}}, {0.1}), 2},
      {"LabelSmoothing_odd_classes", chain({3, 4, 4}, {{Convolution{4, 1, 0}, 17}}, {0.9}), 3},
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

}  // namespace

Program around(Shape image, std::size_t channels, const std::function<void(ProgramSketch&)>& body) {
  ProgramSketch sketch(image);
  sketch.then({Convolution{1, 1, 0}, channels});
  body(sketch);
  sketch.then({Linear{}, kClasses});
  return sketch.finish();
}

Program inside(Shape image, std::size_t channels, const std::vector<Link>& links) {
  return around(image, channels,
                [&](ProgramSketch& sketch) { sketch.apply_all(links, sketch.last()); });
}

std::vector<Row> operation_table(std::uint64_t seed) {
  std::vector<Row> rows;
  for (const auto& family :
       {convolutions(), others(), networks(), residual_rows(), random_rows(seed)})
    rows.insert(rows.end(), family.begin(), family.end());
  return rows;
}

}  // namespace paceline::test
