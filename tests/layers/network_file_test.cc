#include "paceline/layers/network_file.h"

#include <gmock/gmock.h>

#include "paceline/compute/random.h"
#include "paceline/layers/network.h"
#include "temporary_folder.h"
#include "test_seed.h"

namespace paceline {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Result<Network> build(const NetworkDescription& description) {
  return Network::build(description, {description.image, description.classes});
}

/// The message of a text that is no network for 3x32x32 images and 10 classes.
std::string mistake(std::string_view text) {
  const auto description = parse_network(text, "my.net");
  if (!description) return description.error().message;
  const auto network = build(description.value());
  return network ? "" : network.error().message;
}

void expect_same_operations(const Program& a, const Program& b) {
  EXPECT_EQ(a.activations, b.activations);
  EXPECT_EQ(a.parameter_elements, b.parameter_elements);
  EXPECT_EQ(a.buffer_elements, b.buffer_elements);
  ASSERT_EQ(a.operations.size(), b.operations.size());
  const auto fields = [](const Operation& o) {
    return std::tie(o.name, o.kind, o.input, o.output, o.other, o.weight, o.bias, o.running_mean,
                    o.running_variance);
  };
  for (std::size_t i = 0; i < a.operations.size(); ++i)
    EXPECT_TRUE(fields(a.operations[i]) == fields(b.operations[i])) << a.operations[i].name;
}

void expect_same_layout(const Layout& a, const Layout& b) {
  EXPECT_EQ(a.hash(), b.hash());
  EXPECT_EQ(a.parameters, b.parameters);
  EXPECT_EQ(a.elements, b.elements);
  EXPECT_EQ(a.buffer_elements, b.buffer_elements);
  const auto fields = [](const Tensor& t) {
    return std::tie(t.name, t.dimensions, t.offset, t.count, t.flattened);
  };
  const auto same = [&](const std::vector<Tensor>& p, const std::vector<Tensor>& q) {
    return std::ranges::equal(
        p, q, [&](const Tensor& s, const Tensor& t) { return fields(s) == fields(t); });
  };
  EXPECT_TRUE(same(a.tensors, b.tensors) && same(a.buffers, b.buffers));
}

TEST(NetworkFile, EveryNamedNetworkIsOneThatReadsBackTheSame) {
  for (const std::string& name : named_networks()) {
    SCOPED_TRACE(name);
    const NetworkDescription named = named_network(name).value();
    const auto read = parse_network(network_text(named), name + ".net");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read.value().name, name);
    EXPECT_EQ(read.value().image, named.image);
    EXPECT_EQ(read.value().classes, named.classes);
    EXPECT_EQ(read.value().crop, named.crop);
    EXPECT_EQ(read.value().learning_rate, named.learning_rate);
    EXPECT_EQ(read.value().initialisation, named.initialisation);
    EXPECT_EQ(network_text(read.value()), network_text(named));
    const auto a = build(named), b = build(read.value());
    ASSERT_TRUE(b) << b.error().message;
    expect_same_operations(a.value().program(), b.value().program());
    expect_same_layout(a.value().layout(), b.value().layout());
  }
}

TEST(NetworkFile, EveryWordAndOptionReadsBackTheSame) {
  const std::string text =
      "# all\nimage 1x20x30\nclasses 7\nlearning-rate 0.025\ninitialise vgg\n\n"
      "conv 8 3x3 stride 2 pad 1 no-bias\n"
      "norm: bn epsilon 0.001 momentum 0.01\n"
      "relu\n"
      "maxpool 3x3 stride 1 pad 1\n"
      "avgpool 2x2\n"
      "avgpool 2x2 stride 1\n"
      "a.b-c_d: shortcut 10 from avgpool2\n"
      "add a.b-c_d\n"
      "globalpool\n"
      "linear 5\n"
      "dropout 0.25\n"
      "linear classes\n";
  const auto read = parse_network(text, "all.net");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(network_text(read.value()), text);
  const auto network = build(read.value());
  ASSERT_TRUE(network) << network.error().message;
  const auto& operations = network.value().program().operations;
  EXPECT_EQ(operations[0].kind, OperationKind(Convolution{3, 2, 1, false}));
  EXPECT_EQ(operations[1].kind, OperationKind(BatchNorm{0.001, 0.01}));
  EXPECT_EQ(operations[3].kind, OperationKind(MaxPool{3, 1, 1}));
  EXPECT_EQ(operations[4].kind, OperationKind(AveragePool{2, 2}));
  EXPECT_EQ(operations[6].kind, OperationKind(PaddedShortcut{1}));
  EXPECT_EQ(operations[10].kind, OperationKind(Dropout{0.25}));
}

TEST(NetworkFile, LayersReadTheOneBeforeOrTheOneTheyNameAndSettingsHaveDefaults) {
  const auto read = parse_network(
      "conv 4 3x3 pad 1\r\n\tfirst:  relu # a comment\n\nconv 4 1x1 from input\nadd first\n"
      "linear classes",
      "some/folder/two.net");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read.value().name, "two");
  EXPECT_EQ(read.value().image, (Shape{3, 32, 32}));
  EXPECT_EQ(read.value().classes, 10U);
  const auto network = build(read.value());
  ASSERT_TRUE(network) << network.error().message;
  const auto& operations = network.value().program().operations;
  std::vector<std::string> names;
  for (const Operation& operation : operations) names.push_back(operation.name);
  EXPECT_THAT(names, testing::ElementsAre("conv1", "first", "conv2", "add1", "fc1", "loss"));
  EXPECT_EQ(operations[2].input, 0U);
  EXPECT_EQ(operations[3].input, 3U);
  EXPECT_EQ(operations[3].other, 2U);
}

TEST(NetworkFile, EveryMistakeIsOneLineWithItsPlaceAndARemedy) {
  struct Case {
    std::string text;
    const char* where;
    const char* says;
  };
  const std::string end = "\nlinear classes\n";
  const std::vector<Case> cases = {
      {"", "my.net: ", "holds no layers: write one a line and end with 'linear classes'"},
      {"# nothing\n\nimage 3x32x32\n", "my.net: ", "holds no layers"},
      // What ends too early.
      {"conv", "my.net:1: ", "'conv' lacks a number of channels: write for instance 'conv 64 3x3"},
      {"conv 16", "my.net:1: ", "'conv 16' lacks a square such as 3x3"},
      {"conv 16 3x3 pad", "my.net:1: ", "lacks a number of pixels after 'pad'"},
      {"conv 16 3x3 from", "my.net:1: ", "lacks the name of a layer after 'from'"},
      {"first:", "my.net:1: ", "'first:' names no layer"},
      {"relu\nadd", "my.net:2: ", "'add' lacks the name of a layer"},
      {"dropout", "my.net:1: ", "'dropout' lacks a probability"},
      {"image",
       "my.net:1: ", "lacks channels, height and width: write for instance 'image 3x32x32"},
      {"conv 16 3x3\nrelu\n", "my.net:2: ",
       "relu1 is the last layer and makes 16x30x30 for 10 classes: end with 'linear classes'"},
      {"linear 12", "my.net:1: ", "fc1 is the last layer and makes 12x1x1 for 10 classes"},
      // Words nobody knows.
      {"cnov 16 3x3" + end,
       "my.net:1: ", "'cnov' is neither a layer nor a setting: did you mean 'conv'?"},
      {"\n\nConv2d 16 3x3" + end, "my.net:3: ", "did you mean 'conv'?"},
      {"transformer" + end, "my.net:1: ", "it is one of conv, bn, relu"},
      {"conv 16 3x3 strid 2" + end, "my.net:1: ",
       "has 'strid', which is no option here, did you "
       "mean 'stride'?"},
      {"relu stride 2" + end, "my.net:1: ",
       "has 'stride', which is no option here, it is one of "
       "from"},
      {"initialise rsnet" + end,
       "my.net:1: ", "'rsnet' is no initialisation: did you mean 'resnet'"},
      // Names.
      {"conv 8 3x3\nconv 8 3x3 from covn1" + end, "my.net:2: ",
       "conv2 reads 'covn1', which is no layer (did you mean 'conv1'?): name one of the layers "
       "above"},
      {"add later\nlater: relu" + end,
       "my.net:1: ", "add1 reads 'later', which does not come before"},
      {"add add1" + end, "my.net:1: ", "add1 reads 'add1', which does not come before it"},
      {"conv1: relu\nconv 4 3x3" + end, "my.net:2: ", "conv1 is the name of a layer before it"},
      {"loss: relu" + end, "my.net:1: ", "loss is the name of the network's loss"},
      {"input: relu" + end, "my.net:1: ", "input is the name of the images"},
      {"a/b: relu" + end, "my.net:1: ", "'a/b' is no name: use 1 to 100 letters"},
      {": relu" + end, "my.net:1: ", "'' is no name"},
      {std::string(101, 'a') + ": relu" + end, "my.net:1: ", "is no name"},
      {"image: image 3x32x32" + end, "my.net:1: ", "names a setting"},
      // Shapes.
      {"conv 8 40x40" + end, "my.net:1: ",
       "conv1 needs 40x40 pixels, but gets 32x32 from 32x32 images: choose larger images or "
       "another "
       "kernel"},
      {"conv 8 1x1\nconv 16 1x1\nadd conv1" + end,
       "my.net:3: ", "add1 cannot add 8x32x32 of conv1 to 16x32x32"},
      {"conv 8 1x1 stride 2\nadd input" + end,
       "my.net:2: ", "cannot add 3x32x32 of input to 8x16x16"},
      {"shortcut 2" + end, "my.net:1: ", "shortcut1 cannot make 2 channels of 3"},
      {"shortcut 6" + end, "my.net:1: ", "zeros are added in equal numbers before and after"},
      {"maxpool 3x3 pad 2" + end,
       "my.net:1: ", "has padding 2: give at most half of its 3x3 window"},
      {"conv 8 3x3\nrelu from input" + end, "my.net:1: ", "conv1 is read by no layer"},
      {"crop 28x28\nrelu" + end, "my.net", "reads 28x28 images, which cannot be had from 32x32"},
      // Numbers.
      {"conv 0 3x3" + end, "my.net:1: ", "'conv 0 3x3' makes nothing"},
      {"conv -1 3x3" + end, "my.net:1: ", "has '-1' where a number of channels up to 2147483647"},
      {"conv 1.5 3x3" + end, "my.net:1: ", "has '1.5' where a number of channels"},
      {"conv 99999999999999999999999 3x3" + end, "my.net:1: ", "where a number of channels up to"},
      {"conv 2147483647 3x3" + end,
       "my.net:1: ", "conv1 has 2147483647 channels: give 1 to 1048576"},
      {"conv 8 0x0" + end, "my.net:1: ", "conv1 has kernel 0"},
      {"conv 8 3x3 stride 0" + end, "my.net:1: ", "stride 0"},
      {"conv 8 3x3 pad 99999" + end, "my.net:1: ", "padding 99999"},
      {"conv 8 3x5" + end, "my.net:1: ", "has '3x5' where a square such as 3x3 belongs"},
      {"conv 8 3" + end, "my.net:1: ", "has '3' where a square"},
      {"conv 8 3x3x3" + end, "my.net:1: ", "has '3x3x3' where a square"},
      {"conv 8 x" + end, "my.net:1: ", "has 'x' where a square"},
      {"dropout 1" + end, "my.net:1: ", "dropout1 drops with probability 1: give one in [0, 1)"},
      {"dropout nan" + end, "my.net:1: ", "has 'nan' where a probability belongs"},
      {"bn epsilon 0" + end, "my.net:1: ", "bn1 has epsilon 0"},
      {"linear 1000000\nlinear 1000000" + end, "my.net:1: ",
       "with the 3072000000 weights of fc1 the network has more than 2147483648 parameters"},
      {"conv 1048576 1x1 pad 2000" + end, "my.net:1: ",
       "conv1 would make 1048576x4032x4032 of one image: that is more than 2147483648 values"},
      // 2^64 weights, which 64 bits would count as none; and as many as may be asked for.
      {"image 1048576x1x1\nconv 1048576 4096x4096 pad 2048 no-bias\nglobalpool" + end, "my.net:2: ",
       "conv1 has kernel 4096, stride 1, padding 2048: give kernel and stride from 1"},
      {"image 1048576x1x1\nconv 1048576 2048x2048 pad 1024 no-bias\nglobalpool" + end,
       "my.net:2: ", "with the 4611686018427387904 weights of conv1 the network has more than"},
      {"learning-rate 0" + end, "my.net:1: ", "is not above 0"},
      {"learning-rate 1e999" + end, "my.net:1: ", "has '1e999' where a rate belongs"},
      {"image 3x0x32" + end, "my.net:1: ", "is no image's size"},
      {"image 32x32" + end, "my.net:1: ", "is no image's size"},
      {"classes 1" + end, "my.net: ", "1 classes leave nothing to learn"},
      // Words too many or twice.
      {"relu relu" + end, "my.net:1: ", "has 'relu', which is no option here"},
      {"conv 8 3x3 pad 1 pad 1" + end, "my.net:1: ", "has two 'pad'"},
      {"classes 10 20" + end, "my.net:1: ", "has a word too many"},
      {"classes 10\nclasses 10" + end, "my.net:2: ", "'classes' was set before"},
      // What is no text.
      {std::string("\x7f"
                   "ELF\x02\x01\x01\0\0\0",
                   10),
       "my.net:1: ", "holds the byte 0x7f"},
      {"relu\n\xff\xd8\xff\xe0" + end, "my.net:2: ", "holds the byte 0xff, which is no text"},
      {std::string("relu\0", 5) + end, "my.net:1: ", "holds the byte 0x00"},
      {std::string(2 << 20, 'a'), "my.net: ", "is larger than 1048576 bytes"},
      {std::string(1 << 20, 'a'), "my.net:1: ", "is neither a layer nor a setting"},
      {[] {
         std::string many;
         for (int i = 0; i < 5000; ++i) many += "relu\n";
         return many;
       }(),
       "my.net:4097: ", "more than 4096 layers"},
  };
  for (const Case& c : cases) {
    const std::string message = mistake(c.text);
    EXPECT_THAT(message, AllOf(StartsWith(c.where), HasSubstr(c.says), Not(HasSubstr("\n"))))
        << c.text.substr(0, 200);
    EXPECT_LT(message.size(), 500U) << message;
  }
}

TEST(NetworkFile, WhateverTheBytesThereIsANetworkOrOneLine) {
  Rng rng(test_seed());
  const std::string whole = network_text(named_network("resnet20").value());
  for (int i = 0; i < 2000; ++i) {
    std::string text = whole.substr(0, rng.below(whole.size() + 1));
    for (std::uint64_t changes = rng.below(4); changes-- > 0 && !text.empty();) {
      const std::size_t at = rng.below(text.size());
      switch (rng.below(4)) {
        case 0:
          text[at] = static_cast<char>(rng.below(256));
          break;
        case 1:
          text.erase(at, rng.below(20));
          break;
        case 2:
          text.insert(at, 1, "0123456789 x\n:#."[rng.below(16)]);
          break;
        default:
          text.insert(at, text.substr(rng.below(text.size()), 30));
      }
    }
    if (mistake(text).empty()) continue;
    EXPECT_THAT(mistake(text), AllOf(StartsWith("my.net"), Not(HasSubstr("\n")))) << text;
  }
}

TEST(NetworkFile, NamesAndFilesAreToldApart) {
  const TemporaryFolder folder;
  const std::string text = "relu\nlinear classes\n";
  write_bytes(folder / "one.net", std::vector<std::uint8_t>(text.begin(), text.end()));
  EXPECT_EQ(open_network(folder / "one.net").value().name, "one");
  EXPECT_EQ(open_network("lenet").value().name, "lenet");
  EXPECT_THAT(open_network("lent").error().message, HasSubstr("did you mean 'lenet'?"));
  EXPECT_THAT(open_network(folder / "two.net").error().message,
              AllOf(HasSubstr("two.net: there is no such file"), HasSubstr("--as-file")));
  EXPECT_THAT(open_network(folder.path()).error().message, HasSubstr("cannot be read as a file"));
}

TEST(NetworkFile, TheExamplesAreNetworks) {
  int examples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PACELINE_EXAMPLE_NETWORKS)) {
    const auto description = open_network(entry.path());
    ASSERT_TRUE(description) << description.error().message;
    const auto network = build(description.value());
    EXPECT_TRUE(network) << network.error().message;
    ++examples;
  }
  EXPECT_GT(examples, 0);
}

}  // namespace
}  // namespace paceline
