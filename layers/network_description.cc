#include "paceline/layers/network_description.h"

#include <algorithm>
#include <array>

namespace paceline {
namespace {

/// In the order of OperationKind's alternatives.
constexpr std::array<std::string_view, std::variant_size_v<OperationKind>> kNames = {
    "conv", "bn",      "relu", "pool",     "avgpool", "globalpool",
    "fc",   "dropout", "add",  "shortcut", "loss"};

}  // namespace

Shape NetworkDescription::cropped(Shape from) const {
  if (crop == 0) return from;
  return {.channels = from.channels,
          .height = std::min(from.height, crop),
          .width = std::min(from.width, crop)};
}

std::string default_layer_name(std::span<const LayerDescription> before,
                               const OperationKind& kind) {
  const auto same = std::ranges::count_if(
      before, [&](const LayerDescription& layer) { return layer.kind.index() == kind.index(); });
  return fmt::format("{}{}", kNames[kind.index()], same + 1);
}

}  // namespace paceline
