#include "paceline/layers/network.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

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

TEST(Network, ParameterCountsAreThePublishedOnes) {
  EXPECT_EQ(make("cnn7", kColour28).layout().parameters, 351'946U);
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
  for (const std::string& name : Network::names()) {
    const Network network = make(name, kColour28);
    std::size_t end = 0, parameters = 0;
    for (const Tensor& t : network.layout().tensors) {
      EXPECT_EQ(t.offset % 16, 0U) << name << " " << t.name;
      EXPECT_GE(t.offset, end) << name << " " << t.name;
      EXPECT_LT(t.offset - end, 16U) << name << " " << t.name;
      end = t.offset + t.count;
      parameters += t.count;
    }
    EXPECT_EQ(network.layout().parameters, parameters);
    EXPECT_EQ(network.layout().elements, (end + 15) / 16 * 16);
    EXPECT_EQ(network.program().parameter_elements, network.layout().elements);
  }
}

TEST(Network, ProgramsAreChainsThatEndWithTheLoss) {
  for (const std::string& name : Network::names()) {
    const Network network = make(name, kColour28, 7);
    const Program& program = network.program();
    ASSERT_EQ(program.activations.size(), program.operations.size() + 1);
    std::set<std::string> names;
    for (std::size_t i = 0; i < program.operations.size(); ++i) {
      EXPECT_EQ(program.operations[i].input, i);
      EXPECT_EQ(program.operations[i].output, i + 1);
      EXPECT_TRUE(names.insert(program.operations[i].name).second) << program.operations[i].name;
    }
    EXPECT_TRUE(std::holds_alternative<SoftmaxCrossEntropy>(program.operations.back().kind));
    EXPECT_EQ(program.activations.back().count(), 7U);
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
              testing::AllOf(HasSubstr("lenet, cnn7, cnn6"), testing::Not(HasSubstr("mean"))));
}

TEST(Network, ShapesThatDoNotFitNameTheLayerAndTheShapes) {
  EXPECT_THAT(error("cnn7", {3, 20, 20}), testing::AllOf(HasSubstr("28x28"), HasSubstr("20x20")));
  EXPECT_THAT(error("cnn6", {3, 3, 3}),
              testing::AllOf(HasSubstr("pool2"), HasSubstr("1x1"), HasSubstr("from 3x3 images")));
  EXPECT_THAT(error("lenet", {3, 0, 28}), HasSubstr("0x28x3"));
  EXPECT_THAT(error("lenet", kGrey28, 1), HasSubstr("1 classes"));
}

TEST(Network, OnlyCnn7CropsAndNeverEnlarges) {
  EXPECT_EQ(Network::crop("cnn7", kColour32), kColour28);
  EXPECT_EQ(Network::crop("cnn7", {3, 20, 40}), (Shape{3, 20, 28}));
  EXPECT_EQ(Network::crop("cnn6", kColour32), kColour32);
  EXPECT_EQ(Network::crop("lenet", kGrey28), kGrey28);
}

TEST(Network, EveryNetworkHasALearningRate) {
  for (const std::string& name : Network::names()) {
    EXPECT_GT(Network::default_learning_rate(name), 0) << name;
  }
}

TEST(Network, InitialValuesAreUniformWithinTheFanInAndPaddingIsZero) {
  const Network network = make("cnn7", kColour28);
  std::vector<float> x(network.layout().elements, 9.0F);
  network.initialise(x, 5);
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

TEST(Network, TheSameSeedGivesTheSameBitsAndAnotherSeedOthers) {
  const Network network = make("lenet", kGrey28);
  std::vector<float> a(network.layout().elements), b(a), c(a);
  network.initialise(a, 5);
  network.initialise(b, 5);
  network.initialise(c, 6);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
}

}  // namespace
}  // namespace paceline
