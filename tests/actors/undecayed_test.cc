#include "paceline/actors/undecayed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace paceline {
namespace {

using testing::ElementsAre;

TEST(Undecayed, AreTheOneDimensionalTensorsWithTheirPadding) {
  Layout layout;
  layout.tensors = {{"conv1.weight", {4, 3, 3, 3}, 0, 108, {}},
                    {"bn1.weight", {4}, 112, 4, {}},
                    {"bn1.bias", {4}, 128, 4, {}},
                    {"fc.weight", {10, 4}, 144, 40, {}},
                    {"fc.bias", {10}, 192, 10, {}}};
  layout.elements = 208;
  EXPECT_THAT(undecayed_ranges(layout), ElementsAre(ElementRange{112, 32}, ElementRange{192, 16}));
}

TEST(Undecayed, OfANetworkAreItsBiases) {
  const Network network = Network::named("lenet", {3, 32, 32}, 10).value();
  std::vector<bool> spared(network.layout().elements);
  for (const ElementRange& range : undecayed_ranges(network.layout()))
    for (std::size_t i = range.first; i < range.first + range.count; ++i) spared.at(i) = true;
  for (const Tensor& tensor : network.layout().tensors)
    for (std::size_t i = tensor.offset; i < tensor.offset + tensor.count; ++i)
      ASSERT_EQ(spared[i], tensor.name.ends_with(".bias")) << tensor.name;
}

}  // namespace
}  // namespace paceline
