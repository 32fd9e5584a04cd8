#include "paceline/layers/network.h"

#include <gmock/gmock.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cmath>
#include <map>
#include <set>

#include "paceline/compute/device.h"

namespace paceline {
namespace {

using testing::HasSubstr;

constexpr Shape kGrey28{1, 28, 28}, kColour28{3, 28, 28}, kColour32{3, 32, 32};

Network make(std::string_view name, Shape image, std::size_t classes = 10) {
  auto network = Network::named(name, image, classes);
  PACELINE_CHECK(network.has_value(), "{}", network.error().message);
  return std::move(network).value();
}

std::string error(std::string_view name, Shape image, std::size_t classes = 10) {
  const auto network = Network::named(name, image, classes);
  return network ? "" : network.error().message;
}

/// A named network on the images it is meant for.
Network natural(std::string_view name) {
  const NetworkDescription description = named_network(name).value();
  return make(name, description.image, description.classes);
}

std::vector<float> initial(const Network& network, std::uint64_t seed) {
  std::vector<float> x(network.layout().all_elements(), 9.0F);
  network.initialise(x, seed);
  return x;
}

const Operation& operation(const Network& network, std::string_view name) {
  const auto& all = network.program().operations;
  const auto found = std::ranges::find(all, name, &Operation::name);
  PACELINE_CHECK(found != all.end(), "no operation {}", name);
  return *found;
}

TEST(Network, ParameterCountsAreThePublishedOnes) {
  const std::map<std::string, std::size_t> published = {
      {"resnet20", 269'722}, {"resnet32", 464'154},    {"resnet44", 658'586},
      {"resnet56", 853'018}, {"resnet110", 1'727'962}, {"vgg16", 15'253'578},
      {"cnn7", 351'946},     {"resnet18", 11'689'512}, {"resnet50", 25'557'032}};
  for (const auto& [name, parameters] : published)
    EXPECT_EQ(natural(name).layout().parameters, parameters) << name;
  EXPECT_EQ(make("lenet", kGrey28).layout().parameters,
            32U * 26 + 64 * (25 * 32 + 1) + 512 * (7 * 7 * 64 + 1) + 10 * 513);
  EXPECT_EQ(make("cnn6", kColour32).layout().parameters,
            64U * 28 + 64 * 577 + 128 * 577 + 128 * 1153 + 256 * (8 * 8 * 128 + 1) + 10 * 257);
}

TEST(Network, TensorsAreNamedAsPyTorchWouldAndKeepTheOrderOfTheLayers) {
  std::vector<std::string> names;
  const Network cnn7 = make("cnn7", kColour28);
  for (const Tensor& t : cnn7.layout().tensors) names.push_back(t.name);
  EXPECT_THAT(names, testing::ElementsAre("conv1.weight", "conv1.bias", "conv2.weight",
                                          "conv2.bias", "conv3.weight", "conv3.bias", "fc1.weight",
                                          "fc1.bias", "fc2.weight", "fc2.bias"));
  EXPECT_THAT(cnn7.layout().tensors[2].dimensions, testing::ElementsAre(128, 5, 5, 64));
  EXPECT_THAT(cnn7.layout().tensors[6].dimensions, testing::ElementsAre(256, 256));
  EXPECT_EQ(cnn7.layout().tensors[6].flattened, (Shape{64, 2, 2}));
}

TEST(Network, TensorsStartAtMultiplesOf16AndDoNotOverlap) {
  for (const std::string& name : named_networks()) {
    const Network network = natural(name);
    const Layout& layout = network.layout();
    std::size_t end = 0, parameters = 0;
    const auto follow = [&](const Tensor& t) {
      EXPECT_EQ(t.offset % 16, 0U) << name << " " << t.name;
      EXPECT_GE(t.offset, end) << name << " " << t.name;
      EXPECT_LT(t.offset - end, 16U) << name << " " << t.name;
      end = t.offset + t.count;
    };
    for (const Tensor& t : layout.tensors) {
      follow(t);
      parameters += t.count;
    }
    EXPECT_EQ(layout.parameters, parameters);
    EXPECT_EQ(layout.elements, (end + 15) / 16 * 16);
    EXPECT_EQ(network.program().parameter_elements, layout.elements);
    for (const Tensor& t : layout.buffers) follow(t);
    EXPECT_EQ(layout.all_elements(), (end + 15) / 16 * 16);
    EXPECT_EQ(network.program().buffer_elements, layout.buffer_elements);
  }
}

TEST(Network, ProgramsAreValidAndEndWithTheLoss) {
  for (const std::string& name : named_networks()) {
    const NetworkDescription description = named_network(name).value();
    const Network network = make(name, description.image, 7);
    const Program& program = network.program();
    const auto valid = validate(program);
    EXPECT_TRUE(valid) << name << ": " << valid.error().message;
    ASSERT_EQ(program.activations.size(), program.operations.size() + 1);
    std::set<std::string> names;
    for (const Operation& operation : program.operations)
      EXPECT_TRUE(names.insert(operation.name).second) << operation.name;
    EXPECT_TRUE(std::holds_alternative<SoftmaxCrossEntropy>(program.operations.back().kind));
    EXPECT_EQ(program.activations.back().count(), 7U);
    EXPECT_EQ(network.classes(), 7U);
  }
}

TEST(Network, BatchNormsHaveTheirStatisticsBesideTheParameters) {
  const Network network = natural("resnet20");
  const Layout& layout = network.layout();
  EXPECT_EQ(layout.buffers[0].name, "bn1.running_mean");
  EXPECT_EQ(layout.buffers[1].name, "bn1.running_var");
  EXPECT_EQ(layout.buffers[0].offset, layout.elements);
  EXPECT_EQ(layout.buffers.size(), 2U * 19);
  const Operation& bn = operation(network, "layer2.0.bn2");
  const auto offset = [&](const std::vector<Tensor>& tensors, std::string_view name) {
    return std::ranges::find(tensors, name, &Tensor::name)->offset;
  };
  EXPECT_EQ(bn.weight, offset(layout.tensors, "layer2.0.bn2.weight"));
  EXPECT_EQ(bn.bias, offset(layout.tensors, "layer2.0.bn2.bias"));
  EXPECT_EQ(bn.running_mean + layout.elements, offset(layout.buffers, "layer2.0.bn2.running_mean"));
  EXPECT_EQ(bn.running_variance + layout.elements,
            offset(layout.buffers, "layer2.0.bn2.running_var"));
}

TEST(Network, ResidualBlocksAddTheirShortcutsToTheirBranches) {
  const auto written_by = [](const Network& network, std::size_t activation) {
    for (const Operation& operation : network.program().operations)
      if (operation.output == activation) return operation.name;
    return std::string("input");
  };
  struct Case {
    const char *network, *add, *branch, *shortcut;
  };
  for (const Case& c : {Case{"resnet20", "layer1.0.add", "layer1.0.bn2", "relu1"},
                        {"resnet20", "layer2.0.add", "layer2.0.bn2", "layer2.0.shortcut"},
                        {"resnet20", "layer2.1.add", "layer2.1.bn2", "layer2.0.relu2"},
                        {"resnet18", "layer1.0.add", "layer1.0.bn2", "maxpool"},
                        {"resnet18", "layer2.0.add", "layer2.0.bn2", "layer2.0.downsample.1"},
                        {"resnet50", "layer1.0.add", "layer1.0.bn3", "layer1.0.downsample.1"},
                        {"resnet50", "layer1.1.add", "layer1.1.bn3", "layer1.0.relu3"}}) {
    const Network network = natural(c.network);
    const Operation& add = operation(network, c.add);
    EXPECT_EQ(written_by(network, add.input), c.branch) << c.network << " " << c.add;
    EXPECT_EQ(written_by(network, add.other), c.shortcut) << c.network << " " << c.add;
  }
  const Network network = natural("resnet50");
  const auto stride = [&](const char* name) {
    return std::get<Convolution>(operation(network, name).kind).stride;
  };
  EXPECT_EQ(stride("layer2.0.conv1"), 1U);
  EXPECT_EQ(stride("layer2.0.conv2"), 2U);
  EXPECT_EQ(stride("layer2.0.downsample.0"), 2U);
  EXPECT_EQ(stride("layer1.0.downsample.0"), 1U);
}

TEST(Network, Resnet20TrainsInAThirdLessMemoryThanItsActivationsTake) {
  const Network network = Network::named("resnet20", {3, 32, 32}, 10).value();
  constexpr std::size_t kBatch = 32;
  std::size_t activations = 0;
  for (const Shape& shape : network.program().activations)
    activations += kBatch * shape.count() * sizeof(float);
  const auto device = open_device("cpu", {}).value();
  const auto executable =
      device->compile(network.program(), {.batch = kBatch, .deterministic = true}).value();
  // Gradients, workspaces and scratch are among what the executable takes.
  EXPECT_LT(executable->activation_bytes(), activations * 2 / 3);
  EXPECT_EQ(executable->unshared_activation_bytes(), 2 * activations);
}

TEST(Network, ResidualNetworksTakeAnyImagesThatFit) {
  for (const Shape image : {Shape{3, 224, 224}, {3, 64, 64}, {1, 33, 47}, {3, 1, 1}}) {
    for (const char* name : {"resnet18", "resnet50", "resnet20"})
      EXPECT_EQ(make(name, image, 5).classes(), 5U);
  }
  const Network small = make("resnet18", {3, 32, 32}, 1000);
  EXPECT_EQ(small.layout().hash(), natural("resnet18").layout().hash());
}

TEST(Network, LabelSmoothingReachesTheLoss) {
  const Network network =
      Network::build(named_network("cnn6").value(), {kColour32, 10, 0.1}).value();
  const auto& loss = std::get<SoftmaxCrossEntropy>(network.program().operations.back().kind);
  EXPECT_EQ(loss.label_smoothing, 0.1);
  for (const double wrong : {-0.1, 1.0, std::nan("")}) {
    const auto refused = Network::build(named_network("cnn6").value(), {kColour32, 10, wrong});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("[0, 1)"));
  }
}

TEST(Network, Cnn7HasReluAndDropoutBetweenItsLinearLayers) {
  const Network cnn7 = make("cnn7", kColour28);
  std::vector<std::string> names;
  for (const Operation& operation : cnn7.program().operations) names.push_back(operation.name);
  EXPECT_THAT(names,
              testing::ElementsAre("conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "conv3",
                                   "relu3", "fc1", "relu4", "dropout1", "fc2", "loss"));
}

TEST(Network, HashChangesWithShapesNamesAndNothingElse) {
  const std::uint64_t hash = make("cnn7", kColour28).layout().hash();
  EXPECT_EQ(hash, make("cnn7", kColour28).layout().hash());
  EXPECT_NE(hash, make("cnn7", kColour28, 11).layout().hash());
  EXPECT_NE(hash, make("cnn7", kGrey28).layout().hash());
  EXPECT_NE(make("lenet", kColour28).layout().hash(), make("cnn6", kColour28).layout().hash());
  Layout renamed = make("cnn7", kColour28).layout();
  renamed.tensors[0].name = "conv0.weight";
  EXPECT_NE(hash, renamed.hash());
  Layout moved = make("cnn7", kColour28).layout();
  moved.tensors[0].offset += 16;
  EXPECT_NE(hash, moved.hash());
}

TEST(Network, UnknownNamesAreToldTheNearest) {
  EXPECT_THAT(error("cnn8", kColour28), HasSubstr("did you mean 'cnn7'?"));
  EXPECT_THAT(error("lent", kColour28), HasSubstr("did you mean 'lenet'?"));
  EXPECT_THAT(error("transformer", kColour28),
              testing::AllOf(HasSubstr("lenet, cnn7, cnn6, resnet20"), HasSubstr(".net"),
                             testing::Not(HasSubstr("mean"))));
}

TEST(Network, ShapesThatDoNotFitNameTheLayerAndTheShapes) {
  EXPECT_THAT(error("cnn7", {3, 20, 20}), testing::AllOf(HasSubstr("28x28"), HasSubstr("20x20")));
  EXPECT_THAT(error("cnn6", {3, 3, 3}),
              testing::AllOf(HasSubstr("pool2"), HasSubstr("1x1"), HasSubstr("from 3x3 images")));
  EXPECT_THAT(error("vgg16", {3, 28, 28}),
              testing::AllOf(HasSubstr("features.43 needs 2x2 pixels, but gets 1x1"),
                             HasSubstr("choose larger images")));
  EXPECT_THAT(error("lenet", {3, 0, 28}), HasSubstr("3x0x28"));
  EXPECT_THAT(error("lenet", {3, 1'000'000, 28}), HasSubstr("3x1000000x28"));
  EXPECT_THAT(error("lenet", kGrey28, 1), HasSubstr("1 classes"));
}

TEST(Network, OnlyCnn7CropsAndNeverEnlarges) {
  const NetworkDescription cnn7 = named_network("cnn7").value();
  EXPECT_EQ(cnn7.cropped(kColour32), kColour28);
  EXPECT_EQ(cnn7.cropped({3, 20, 40}), (Shape{3, 20, 28}));
  for (const std::string& name : named_networks()) {
    if (name == "cnn7") continue;
    EXPECT_EQ(named_network(name).value().cropped({3, 300, 200}), (Shape{3, 300, 200})) << name;
  }
}

TEST(Network, EveryNetworkHasALearningRate) {
  for (const std::string& name : named_networks()) {
    EXPECT_GT(named_network(name).value().learning_rate, 0) << name;
  }
}

TEST(Network, InitialValuesAreUniformWithinTheFanInAndPaddingIsZero) {
  const Network network = make("cnn7", kColour28);
  const std::vector<float> x = initial(network, 5);
  double bound = 0;
  std::vector<bool> belongs(x.size());
  for (const Tensor& t : network.layout().tensors) {
    if (t.dimensions.size() > 1) {
      bound = 1 / std::sqrt(static_cast<double>(t.count) / static_cast<double>(t.dimensions[0]));
    }
    double sum = 0, squares = 0, largest = 0;
    for (std::size_t i = t.offset; i < t.offset + t.count; ++i) {
      belongs[i] = true;
      const double scaled = x[i] / bound;
      sum += scaled;
      squares += scaled * scaled;
      largest = std::max(largest, std::abs(scaled));
    }
    const auto n = static_cast<double>(t.count);
    EXPECT_LE(largest, 1 + 1e-6) << t.name;
    // Six deviations of a mean of uniform values, and of their squares.
    EXPECT_LT(std::abs(sum / n), 6 * std::sqrt(1 / (3 * n))) << t.name;
    EXPECT_LT(std::abs(squares / n - 1.0 / 3), 6 * std::sqrt(4 / (45 * n))) << t.name;
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!belongs[i]) {
      EXPECT_EQ(x[i], 0.0F) << i;
    }
  }
}

TEST(Network, InitialValuesAndLayoutsAreTheSameOnEveryMachineAndInEveryVersion) {
  struct Case {
    const char* name;
    std::uint64_t values, layout;
  };
  for (const Case& c : {Case{"lenet", 0xa05149c4959071f8, 0xebb899448a040eee},
                        {"cnn7", 0x74bc41fa5b636eca, 0x590a81f0802f0428},
                        {"cnn6", 0x2c09eac94f00456e, 0xae785b84b12f5925}}) {
    const Network network = natural(c.name);
    const std::vector<float> x = initial(network, 5);
    EXPECT_EQ(XXH3_64bits(x.data(), x.size() * sizeof(float)), c.values) << c.name;
    EXPECT_EQ(network.layout().hash(), c.layout) << c.name;
  }
}

TEST(Network, TheSameSeedGivesTheSameBitsAndAnotherSeedOthers) {
  for (const char* name : {"lenet", "resnet20", "vgg16"}) {
    const Network network = natural(name);
    EXPECT_EQ(initial(network, 5), initial(network, 5)) << name;
    EXPECT_NE(initial(network, 5), initial(network, 6)) << name;
  }
}

/// Mean and deviation of a tensor's values.
struct Moments {
  double mean = 0, deviation = 0;
};
Moments moments(std::span<const float> values) {
  double sum = 0, squares = 0;
  for (const float v : values) {
    sum += v;
    squares += double{v} * v;
  }
  const auto n = static_cast<double>(values.size());
  return {sum / n, std::sqrt(squares / n - sum / n * sum / n)};
}

TEST(Network, ResnetsAndVggStartAsTorchvisionsDo) {
  for (const std::string name : {"resnet20", "resnet18", "resnet50", "vgg16"}) {
    const Network network = natural(name);
    const Layout& layout = network.layout();
    const std::vector<float> x = initial(network, 5);
    std::vector<bool> belongs(x.size());
    double fan_in = 0;
    const auto check = [&](const Tensor& t) {
      SCOPED_TRACE(name + " " + t.name);
      std::fill_n(belongs.begin() + static_cast<std::ptrdiff_t>(t.offset), t.count, true);
      const auto values = std::span(x).subspan(t.offset, t.count);
      const auto all_are = [&](float wanted) {
        return std::ranges::all_of(values, [&](float v) { return v == wanted; });
      };
      const auto n = static_cast<double>(t.count);
      double deviation = 0;
      if (t.dimensions.size() == 4) {
        deviation =
            std::sqrt(2 / static_cast<double>(t.dimensions[0] * t.dimensions[1] * t.dimensions[2]));
      } else if (t.dimensions.size() == 2) {
        fan_in = static_cast<double>(t.dimensions[1]);
        deviation = name == "vgg16" ? 0.01 : std::sqrt(1 / (3 * fan_in));
      } else if (t.name == "fc.bias") {
        EXPECT_LE(std::abs(std::ranges::max(values)), 1 / std::sqrt(fan_in));
        EXPECT_FALSE(all_are(0));
        return;
      } else {
        EXPECT_TRUE(all_are(t.name.ends_with(".weight") || t.name.ends_with("running_var")));
        return;
      }
      // Six deviations of the mean and of the deviation of as many normal values.
      const Moments m = moments(values);
      EXPECT_LT(std::abs(m.mean), 6 * deviation / std::sqrt(n));
      EXPECT_LT(std::abs(m.deviation - deviation), 6 * deviation / std::sqrt(2 * n));
    };
    for (const Tensor& t : layout.tensors) check(t);
    for (const Tensor& t : layout.buffers) check(t);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!belongs[i]) {
        ASSERT_EQ(x[i], 0.0F) << name << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace paceline
