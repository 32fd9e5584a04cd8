#include "paceline/layers/network.h"

#include <fmt/ranges.h>
#define XXH_INLINE_ALL  // header only: nothing for consumers to link
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "paceline/compute/random.h"
#include "paceline/layers/nearest.h"
#include "paceline/layers/network_builder_internal.h"

namespace paceline {
namespace {

constexpr std::uint64_t kInitialise =
    0x494e4954ull;  // keeps its streams apart from others' of a seed

/// A network as a row of a table. Learning rates are for batch 128 and Nesterov momentum 0.9.
struct Recipe {
  std::string_view name;
  std::size_t crop;  ///< height and width of the images it reads; 0: takes them as they are
  double learning_rate;
  void (*build)(NetworkBuilder&, std::size_t classes);
};

/// @source LeCun et al. 1998, in the wider form of today's MNIST tutorials
void build_lenet(NetworkBuilder& net, std::size_t classes) {
  net.convolution(32, 5, 2);
  net.relu();
  net.pool();
  net.convolution(64, 5, 2);
  net.relu();
  net.pool();
  net.linear(512);
  net.relu();
  net.linear(classes);
}

/// @source Zhang, Choromanska, LeCun 2015, section 5 (the CIFAR net), as Teng et al. 2019 use it
void build_cnn7(NetworkBuilder& net, std::size_t classes) {
  net.convolution(64, 5, 0);
  net.relu();
  net.pool();
  net.convolution(128, 5, 0);
  net.relu();
  net.pool();
  net.convolution(64, 3, 0);
  net.relu();
  net.linear(256);
  net.relu();
  net.dropout(0.5);
  net.linear(classes);
}

void build_cnn6(NetworkBuilder& net, std::size_t classes) {
  for (const std::size_t channels : {64, 128}) {
    net.convolution(channels, 3, 1);
    net.relu();
    net.convolution(channels, 3, 1);
    net.relu();
    net.pool();
  }
  net.linear(256);
  net.relu();
  net.linear(classes);
}

constexpr std::array kRecipes = {
    Recipe{.name = "lenet", .crop = 0, .learning_rate = 0.05, .build = build_lenet},
    Recipe{.name = "cnn7", .crop = 28, .learning_rate = 0.03, .build = build_cnn7},
    Recipe{.name = "cnn6", .crop = 0, .learning_rate = 0.02, .build = build_cnn6},
};

const Recipe* find_recipe(std::string_view name) {
  const auto* found = std::ranges::find(kRecipes, name, &Recipe::name);
  return found == kRecipes.end() ? nullptr : found;
}

}  // namespace

std::uint64_t Layout::hash() const {
  std::string text;
  for (const auto* part : {&tensors, &buffers})
    for (const Tensor& t : *part)
      text += fmt::format("{} {} @{}\n", t.name, fmt::join(t.dimensions, "x"), t.offset);
  return XXH3_64bits(text.data(), text.size());
}

Result<Network> Network::named(std::string_view name, Shape image, std::size_t classes) {
  const Recipe* recipe = find_recipe(name);
  if (recipe == nullptr) {
    const std::vector<std::string> known = names();
    const std::string meant = nearest(name, known);
    return fail(std::errc::invalid_argument, "no network is called '{}'{}: there are {}", name,
                meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant),
                fmt::join(known, ", "));
  }
  if (recipe->crop != 0 && (image.height != recipe->crop || image.width != recipe->crop)) {
    return fail(std::errc::invalid_argument,
                "{} reads {}x{} images, which cannot be had from {}x{}: choose another data set or "
                "network",
                name, recipe->crop, recipe->crop, image.height, image.width);
  }
  if (classes < 2) {
    return fail(std::errc::invalid_argument, "{}: {} classes leave nothing to learn", name,
                classes);
  }
  NetworkBuilder builder{std::string(name), image};
  recipe->build(builder, classes);
  PACELINE_TRY(NetworkBuilder::Built built, std::move(builder).finish());
  Network network;
  network.name_ = name;
  network.classes_ = classes;
  network.program_ = std::move(built.program);
  network.layout_ = std::move(built.layout);
  return network;
}

std::vector<std::string> Network::names() {
  std::vector<std::string> all;
  for (const Recipe& recipe : kRecipes) all.emplace_back(recipe.name);
  return all;
}

Shape Network::crop(std::string_view name, Shape image) {
  const Recipe* recipe = find_recipe(name);
  if (recipe == nullptr || recipe->crop == 0) return image;
  return {.channels = image.channels,
          .height = std::min(image.height, recipe->crop),
          .width = std::min(image.width, recipe->crop)};
}

double Network::default_learning_rate(std::string_view name) {
  const Recipe* recipe = find_recipe(name);
  PACELINE_CHECK(recipe != nullptr, "no network is called '{}'", name);
  return recipe->learning_rate;
}

void Network::initialise(std::span<float> x, std::uint64_t seed) const {
  PACELINE_CHECK(x.size() == layout_.elements, "{} elements for {} of {}", x.size(),
                 layout_.elements, name_);
  std::ranges::fill(x, 0.0F);
  double bound = 0;
  for (std::size_t i = 0; i < layout_.tensors.size(); ++i) {
    const Tensor& t = layout_.tensors[i];
    // A bias follows its weight and shares its fan-in.
    if (t.dimensions.size() > 1) {
      bound = 1 / std::sqrt(static_cast<double>(t.count / t.dimensions.front()));
    }
    Rng rng(seed ^ kInitialise, i);
    for (float& value : x.subspan(t.offset, t.count)) {
      value = static_cast<float>(bound * (2 * rng.uniform() - 1));
    }
  }
}

}  // namespace paceline
