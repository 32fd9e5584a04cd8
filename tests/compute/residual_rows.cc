#include "compute/operation_table.h"

namespace paceline::test {
namespace {

/// Convolutions before a BatchNorm have no bias: it would be subtracted with the mean.
Link convolution(std::size_t kernel, std::size_t stride, std::size_t channels) {
  return {Convolution{kernel, stride, kernel / 2, false}, channels};
}

enum class Shortcut { identity, padded, projection };

std::size_t shortcut(ProgramSketch& sketch, std::size_t input, Shortcut kind, std::size_t stride,
                     std::size_t channels) {
  switch (kind) {
    case Shortcut::identity:
      return input;
    case Shortcut::padded:
      return sketch.apply({PaddedShortcut{stride}, channels}, input);
    case Shortcut::projection:
      return sketch.apply_all({convolution(1, stride, channels), {BatchNorm{}}}, input);
  }
  return input;
}

/// What was written last through two 3x3 convolutions, and through the shortcut, added.
/// @source He et al. 2015
void basic_block(ProgramSketch& sketch, Shortcut kind, std::size_t stride, std::size_t channels) {
  const std::size_t input = sketch.last();
  const std::size_t branch = sketch.apply_all({convolution(3, stride, channels),
                                               {BatchNorm{}},
                                               {Relu{}},
                                               convolution(3, 1, channels),
                                               {BatchNorm{}}},
                                              input);
  sketch.add(branch, shortcut(sketch, input, kind, stride, channels));
  sketch.then({Relu{}});
}

/// 1x1, 3x3, 1x1, as ResNet-50 has them (the stride in the middle).
void bottleneck(ProgramSketch& sketch, Shortcut kind, std::size_t stride, std::size_t narrow,
                std::size_t channels) {
  const std::size_t input = sketch.last();
  const std::size_t branch = sketch.apply_all({convolution(1, 1, narrow),
                                               {BatchNorm{}},
                                               {Relu{}},
                                               convolution(3, stride, narrow),
                                               {BatchNorm{}},
                                               {Relu{}},
                                               convolution(1, 1, channels),
                                               {BatchNorm{}}},
                                              input);
  sketch.add(branch, shortcut(sketch, input, kind, stride, channels));
  sketch.then({Relu{}});
}

/// BatchNorm and ReLU before each convolution, nothing after the addition; a projection reads what
/// the first ReLU wrote. @source He et al. 2016
void pre_activation(ProgramSketch& sketch, bool project, std::size_t stride, std::size_t channels) {
  const std::size_t input = sketch.last();
  const std::size_t active = sketch.apply_all({{BatchNorm{}}, {Relu{}}}, input);
  const std::size_t branch = sketch.apply_all(
      {convolution(3, stride, channels), {BatchNorm{}}, {Relu{}}, convolution(3, 1, channels)},
      active);
  sketch.add(branch, project ? sketch.apply(convolution(1, stride, channels), active) : input);
}

std::vector<Row> batch_norms() {
  const Link norm{BatchNorm{}}, relu{Relu{}};
  return {
      {"BatchNorm_without_relu", inside({3, 6, 6}, 16, {convolution(3, 1, 16), norm}), 3},
      {"BatchNorm_and_relu", inside({3, 6, 6}, 8, {convolution(3, 1, 32), norm, relu}), 2},
      {"BatchNorm_of_a_convolution_with_bias",
       inside({3, 5, 5}, 8, {{Convolution{3, 1, 1}, 16}, norm, relu}), 2},
      {"BatchNorm_of_a_strided_convolution",
       inside({3, 9, 9}, 6, {convolution(3, 2, 18), norm, relu}), 2},
      {"BatchNorm_odd_channels", inside({2, 6, 5}, 17, {norm, relu}), 2},
      {"BatchNorm_of_blocks_in_two_groups", inside({2, 20, 20}, 96, {norm, relu}), 2},
      {"BatchNorm_one_channel", inside({2, 5, 5}, 1, {norm, relu}), 2},
      {"BatchNorm_one_channel_batch_1", inside({2, 4, 4}, 1, {norm}), 1},
      {"BatchNorm_batch_1", inside({3, 7, 7}, 16, {convolution(3, 1, 9), norm, relu}), 1},
      {"BatchNorm_of_1x1_images", inside({3, 1, 1}, 5, {norm, relu}), 16},
      {"BatchNorm_of_one_value_a_channel", inside({3, 1, 1}, 5, {norm, relu}), 1},
      {"BatchNorm_of_a_vector", inside({3, 2, 2}, 4, {{Linear{}, 21}, norm, relu}), 12},
      {"BatchNorm_first", chain({3, 5, 5}, {norm, {Linear{}, 3}}), 3},
      {"BatchNorm_to_the_classes",
       chain({3, 4, 4}, {convolution(3, 1, 5), norm, {GlobalAveragePool{}}}), 4},
      {"BatchNorm_twice", inside({3, 5, 5}, 8, {norm, norm}), 2},
      {"BatchNorm_after_relu", inside({3, 5, 5}, 8, {relu, norm}), 3},
      {"BatchNorm_of_a_pool", inside({3, 8, 8}, 8, {{MaxPool{2, 2}}, norm, relu}), 2},
      {"BatchNorm_large_epsilon", inside({3, 5, 5}, 8, {{BatchNorm{0.5, 0.1}}, relu}), 2},
      {"BatchNorm_that_keeps_the_last_batch", inside({3, 5, 5}, 8, {{BatchNorm{1e-5, 1.0}}}), 2},
      {"BatchNorm_that_never_moves", inside({3, 5, 5}, 8, {{BatchNorm{1e-5, 0.0}}}), 2},
      {"BatchNorm_then_dropout", inside({3, 4, 4}, 8, {norm, relu, {Dropout{0.3}}}), 3},
      {"BatchNorm_of_small_variance", inside({3, 12, 12}, 8, {{GlobalAveragePool{}}, norm}), 16},
      {"MaxPool_after_batchnorm_and_relu",
       inside({3, 8, 8}, 8, {convolution(3, 1, 16), norm, relu, {MaxPool{3, 2, 1}}}), 2},
      {"MaxPool_2_2_after_batchnorm_and_relu",
       inside({3, 8, 8}, 8, {convolution(3, 1, 10), norm, relu, {MaxPool{2, 2}}}), 2},
      {"MaxPool_after_batchnorm", inside({3, 7, 7}, 8, {norm, {MaxPool{2, 2}}}), 2},
      {"AveragePool_after_batchnorm_and_relu",
       inside({3, 8, 8}, 8, {norm, relu, {AveragePool{2, 2}}}), 2},
      {"BatchNorm_of_images_of_more_rows_than_a_sum_takes",
       inside({2, 40, 40}, 5, {norm, relu, {MaxPool{4, 4}}}), 2},
      {"BatchNorm_of_many_small_images", inside({3, 5, 5}, 20, {norm, relu}), 70},
      {"BatchNorm_of_24_channels_last", chain({24, 5, 5}, {norm, relu, {Linear{}, 3}}), 3},
      {"Convolution_1x1_with_padding", inside({3, 4, 4}, 8, {{Convolution{1, 1, 1}, 7}, relu}), 2},
      {"GlobalAveragePool_after_batchnorm_and_relu",
       inside({3, 6, 6}, 20, {norm, relu, {GlobalAveragePool{}}}), 3},
  };
}

std::vector<Row> additions() {
  const auto row = [](const char* name, Shape image, std::size_t channels,
                      const std::function<void(ProgramSketch&)>& body, std::size_t batch = 2) {
    return Row{name, around(image, channels, body), batch};
  };
  using S = ProgramSketch;
  const Link norm{BatchNorm{}}, relu{Relu{}}, narrow = convolution(3, 1, 8);
  return {
      row("Add_of_two_convolutions", {3, 5, 5}, 8,
          [&](S& s) {
            s.add(s.apply(narrow, 1), s.apply({Convolution{1, 1, 0}, 8}, 1));
          }),
      row("Add_of_one_activation_with_itself", {3, 4, 4}, 5, [&](S& s) { s.add(1, 1); }),
      row("Add_of_a_relu_with_itself", {3, 4, 4}, 17,
          [&](S& s) {
            const std::size_t x = s.then(relu);
            s.add(x, x);
          }),
      row("Add_of_a_relu_and_what_it_read", {3, 4, 4}, 8, [&](S& s) { s.add(s.then(relu), 1); }),
      row(
          "Add_one_channel_batch_1", {1, 3, 3}, 1,
          [&](S& s) {
            s.add(s.apply({Convolution{3, 1, 1}, 1}, 1), 1);
          },
          1),
      row(
          "Add_of_1x1_images", {3, 1, 1}, 7,
          [&](S& s) {
            s.add(1, s.apply({Convolution{1, 1, 0}, 7}, 1));
          },
          3),
      row("Add_of_vectors", {3, 2, 2}, 4,
          [&](S& s) {
            const std::size_t x = s.then({Linear{}, 19});
            s.add(s.apply_all({{Linear{}, 19}, relu}, x), x);
          }),
      row("Add_of_a_vector_and_a_pool", {3, 4, 4}, 19,
          [&](S& s) {
            const std::size_t x = s.then({GlobalAveragePool{}});
            s.add(s.apply({Linear{}, 19}, x), x);
          }),
      row("Add_of_a_pool_and_a_vector", {3, 4, 4}, 19,
          [&](S& s) {
            const std::size_t x = s.then({GlobalAveragePool{}});
            s.add(x, s.apply({Linear{}, 19}, x));
          }),
      row(
          "Convolution_of_a_vector", {3, 2, 2}, 5,
          [&](S& s) {
            s.apply_all({{Linear{}, 20}, {Convolution{1, 1, 0}, 6}, norm, relu}, 1);
          },
          4),
      row("Pools_of_a_vector", {3, 2, 2}, 5,
          [&](S& s) {
            s.apply_all({{Linear{}, 18}, {MaxPool{1, 1}}, {AveragePool{1, 1}}}, 1);
          }),
      row("Add_of_the_images", {3, 5, 5}, 3, [&](S& s) { s.add(1, 0); }),
      row("Add_of_three", {3, 5, 5}, 8,
          [&](S& s) { s.add(s.add(s.apply(narrow, 1), s.apply(narrow, 1)), 1); }),
      row("Add_read_by_two", {3, 5, 5}, 8,
          [&](S& s) {
            const std::size_t sum = s.add(s.apply(narrow, 1), 1);
            s.add(s.apply_all({relu, narrow}, sum), sum);
          }),
      row("Add_read_by_an_addition_and_a_pool", {3, 6, 6}, 8,
          [&](S& s) {
            const std::size_t sum = s.add(s.apply(narrow, 1), 1);
            s.add(s.apply({MaxPool{2, 2}}, sum), s.apply({AveragePool{2, 2}}, sum));
          }),
      row("Add_then_max_pool", {3, 6, 6}, 8,
          [&](S& s) {
            s.apply_all({relu, {MaxPool{2, 2}}}, s.add(s.apply(narrow, 1), 1));
          }),
      row("Add_then_global_average_pool", {3, 6, 6}, 8,
          [&](S& s) {
            s.apply_all({relu, {GlobalAveragePool{}}}, s.add(s.apply(narrow, 1), 1));
          }),
      row("Add_then_batchnorm", {3, 6, 6}, 8,
          [&](S& s) {
            s.apply_all({norm, relu}, s.add(s.apply(narrow, 1), 1));
          }),
      row("Add_of_a_dropout", {3, 4, 4}, 8,
          [&](S& s) {
            s.add(s.apply_all({narrow, {Dropout{0.4}}}, 1), 1);
          }),
      row("Add_batchnorm_and_identity_without_relu", {3, 5, 5}, 8,
          [&](S& s) {
            s.add(s.apply_all({narrow, norm}, 1), 1);
          }),
      row("Add_identity_and_batchnorm", {3, 5, 5}, 8,
          [&](S& s) {
            s.apply(relu, s.add(1, s.apply_all({narrow, norm}, 1)));
          }),
      row("Add_of_two_batchnorms", {3, 5, 5}, 17,
          [&](S& s) {
            s.apply(relu, s.add(s.apply_all({narrow, norm}, 1), s.apply_all({narrow, norm}, 1)));
          }),
      row("Add_of_a_batchnorm_with_itself", {3, 5, 5}, 8,
          [&](S& s) {
            const std::size_t x = s.then(norm);
            s.apply(relu, s.add(x, x));
          }),
      row("Add_of_a_batchnorm_and_its_relu", {3, 5, 5}, 8,
          [&](S& s) {
            const std::size_t normalised = s.then(norm);
            s.add(s.apply(relu, normalised), normalised);
          }),
      row("Relu_of_a_batchnorm_read_by_two", {3, 5, 5}, 8,
          [&](S& s) {
            const std::size_t x = s.apply_all({norm, relu}, 1);
            s.add(s.apply(narrow, x), s.apply(convolution(1, 1, 8), x));
          }),
      row("Relu_read_by_a_max_pool_and_a_convolution", {3, 6, 6}, 8,
          [&](S& s) {
            const std::size_t x = s.apply(relu, 1);
            s.add(s.apply({MaxPool{2, 2}}, x), s.apply({Convolution{2, 2, 0}, 8}, x));
          }),
      row("Relu_of_a_batchnorm_read_by_two_pools", {3, 6, 6}, 8,
          [&](S& s) {
            const std::size_t x = s.apply_all({norm, relu}, 1);
            s.add(s.apply({MaxPool{3, 2, 1}}, x), s.apply({AveragePool{2, 2}}, x));
          }),
      row("Batchnorm_read_by_two_relus", {3, 5, 5}, 8,
          [&](S& s) {
            const std::size_t x = s.then(norm);
            s.add(s.apply_all({relu, narrow}, x), s.apply_all({relu, narrow}, x));
          }),
      row("Convolution_read_by_two_batchnorms", {3, 5, 5}, 8,
          [&](S& s) {
            s.add(s.apply(norm, 1), s.apply_all({norm, relu}, 1));
          }),
      row("Convolution_read_by_three", {3, 5, 5}, 6,
          [&](S& s) {
            s.add(s.add(s.apply(narrow, 1), s.apply_all({relu, narrow}, 1)),
                  s.apply({Convolution{1, 1, 0}, 8}, 1));
          }),
  };
}

std::vector<Row> blocks() {
  const auto row = [](const char* name, Shape image, std::size_t channels,
                      const std::function<void(ProgramSketch&)>& body, std::size_t batch = 2) {
    return Row{name, around(image, channels, body), batch};
  };
  using S = ProgramSketch;
  return {
      row("Block_identity", {3, 6, 6}, 16, [](S& s) { basic_block(s, Shortcut::identity, 1, 16); }),
      row(
          "Block_identity_odd_channels_batch_1", {3, 7, 5}, 9,
          [](S& s) { basic_block(s, Shortcut::identity, 1, 9); }, 1),
      row("Block_option_a", {3, 8, 8}, 8, [](S& s) { basic_block(s, Shortcut::padded, 2, 16); }),
      row(
          "Block_option_a_of_an_odd_image", {3, 7, 7}, 5,
          [](S& s) { basic_block(s, Shortcut::padded, 2, 9); }, 3),
      row("Block_projection", {3, 8, 8}, 8,
          [](S& s) { basic_block(s, Shortcut::projection, 2, 16); }),
      row(
          "Block_projection_of_an_odd_image", {3, 7, 5}, 6,
          [](S& s) { basic_block(s, Shortcut::projection, 2, 11); }, 3),
      row("Block_projection_to_one_channel", {3, 6, 6}, 4,
          [](S& s) { basic_block(s, Shortcut::projection, 1, 1); }),
      row("Blocks_in_a_row", {3, 6, 6}, 8,
          [](S& s) {
            basic_block(s, Shortcut::identity, 1, 8);
            basic_block(s, Shortcut::padded, 2, 16);
            basic_block(s, Shortcut::identity, 1, 16);
          }),
      row("Block_bottleneck", {3, 6, 6}, 16,
          [](S& s) { bottleneck(s, Shortcut::identity, 1, 4, 16); }),
      row("Block_bottleneck_projection", {3, 8, 8}, 8,
          [](S& s) { bottleneck(s, Shortcut::projection, 2, 5, 20); }),
      row("Block_pre_activation", {3, 6, 6}, 8, [](S& s) { pre_activation(s, false, 1, 8); }),
      row("Block_pre_activation_projection", {3, 7, 7}, 6,
          [](S& s) { pre_activation(s, true, 2, 12); }),
      row("Blocks_pre_activation_in_a_row", {3, 6, 6}, 8,
          [](S& s) {
            pre_activation(s, false, 1, 8);
            pre_activation(s, true, 2, 16);
            s.apply_all({{BatchNorm{}}, {Relu{}}, {GlobalAveragePool{}}}, s.last());
          }),
  };
}

std::vector<Row> networks() {
  const std::vector<Link> head = {{GlobalAveragePool{}}, {Linear{}, 10}};
  ProgramSketch cifar({3, 12, 12});
  cifar.apply_all({convolution(3, 1, 8), {BatchNorm{}}, {Relu{}}}, 0);
  basic_block(cifar, Shortcut::identity, 1, 8);
  basic_block(cifar, Shortcut::padded, 2, 16);
  basic_block(cifar, Shortcut::padded, 2, 32);
  cifar.apply_all(head, cifar.last());

  const std::vector<Link> stem = {
      convolution(7, 2, 8), {BatchNorm{}}, {Relu{}}, {MaxPool{3, 2, 1}}};
  ProgramSketch imagenet({3, 32, 32});
  imagenet.apply_all(stem, 0);
  basic_block(imagenet, Shortcut::identity, 1, 8);
  basic_block(imagenet, Shortcut::projection, 2, 16);
  imagenet.apply_all(head, imagenet.last());

  ProgramSketch deep({3, 32, 32});
  deep.apply_all(stem, 0);
  bottleneck(deep, Shortcut::projection, 1, 4, 16);
  bottleneck(deep, Shortcut::identity, 1, 4, 16);
  deep.apply_all(head, deep.last());

  const Link norm{BatchNorm{}}, relu{Relu{}}, pool{MaxPool{}};
  const Program vgg = chain({3, 8, 8}, {{Convolution{3, 1, 1}, 8},
                                        norm,
                                        relu,
                                        {Convolution{3, 1, 1}, 8},
                                        norm,
                                        relu,
                                        pool,
                                        {Convolution{3, 1, 1}, 16},
                                        norm,
                                        relu,
                                        pool,
                                        {Linear{}, 24},
                                        relu,
                                        {Dropout{0.5}},
                                        {Linear{}, 10}});
  return {{"Resnet20_in_small", cifar.finish({0.1}), 3},
          {"Resnet18_in_small", imagenet.finish({0.1}), 2},
          {"Resnet50_in_small", deep.finish(), 2},
          {"Vgg16_in_small", vgg, 3}};
}

}  // namespace

std::vector<Row> residual_rows() {
  std::vector<Row> rows;
  for (const auto& family : {batch_norms(), additions(), blocks(), networks()})
    rows.insert(rows.end(), family.begin(), family.end());
  return rows;
}

}  // namespace paceline::test
