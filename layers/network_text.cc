#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "paceline/layers/network_file.h"
#include "paceline/layers/network_words_internal.h"

namespace paceline {

std::string_view initialisation_word(Initialisation initialisation) {
  return kInitialisations[static_cast<std::size_t>(initialisation)];
}

std::string layer_text(const LayerDescription& layer) {
  OperationKind kind = layer.kind;
  const auto* word = std::ranges::find_if(
      kLayerWords, [&](const LayerWord& row) { return row.kind.index() == kind.index(); });
  PACELINE_CHECK(word != kLayerWords.end(), "{} is a loss", layer.name);
  std::string text(word->word);
  if (word->channels) text += layer.channels == 0 ? " classes" : fmt::format(" {}", layer.channels);
  if (const auto* kernel = kernel_of(kind)) text += fmt::format(" {}x{}", *kernel, *kernel);
  if (const auto* probability = probability_of(kind)) text += fmt::format(" {}", *probability);
  if (!layer.other.empty()) text += " " + layer.other;
  if (const auto* stride = stride_of(kind); stride && *stride != default_stride(kind))
    text += fmt::format(" stride {}", *stride);
  if (const auto* padding = padding_of(kind); padding && *padding != 0)
    text += fmt::format(" pad {}", *padding);
  if (const auto* bias = bias_of(kind); bias && !*bias) text += " no-bias";
  if (const auto* epsilon = epsilon_of(kind); epsilon && *epsilon != BatchNorm{}.epsilon)
    text += fmt::format(" epsilon {}", *epsilon);
  if (const auto* momentum = momentum_of(kind); momentum && *momentum != BatchNorm{}.momentum)
    text += fmt::format(" momentum {}", *momentum);
  if (!layer.input.empty()) text += " from " + layer.input;
  return text;
}

std::string network_text(const NetworkDescription& network) {
  const Shape& image = network.image;
  std::string text = fmt::format("# {}\nimage {}x{}x{}\nclasses {}\n", network.name, image.channels,
                                 image.height, image.width, network.classes);
  if (network.crop != 0) text += fmt::format("crop {}x{}\n", network.crop, network.crop);
  text += fmt::format("learning-rate {}\ninitialise {}\n\n", network.learning_rate,
                      initialisation_word(network.initialisation));
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const LayerDescription& layer = network.layers[i];
    if (layer.name != default_layer_name(std::span(network.layers).first(i), layer.kind))
      text += layer.name + ": ";
    text += layer_text(layer) + "\n";
  }
  return text;
}

}  // namespace paceline
