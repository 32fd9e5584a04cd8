// The words of a network's text, shared by its reader and its writer, and the fields of layers that
// they stand for.
#pragma once

#include <array>
#include <string_view>
#include <type_traits>

#include "paceline/layers/network_description.h"

namespace paceline {

/// A word that starts a layer's line.
struct LayerWord {
  std::string_view word, example;
  OperationKind kind;
  bool channels = false;  ///< they follow the word
};
inline const std::array kLayerWords = {
    LayerWord{"conv", "conv 64 3x3 pad 1", Convolution{}, true},
    LayerWord{"bn", "bn", BatchNorm{}},
    LayerWord{"relu", "relu", Relu{}},
    LayerWord{"maxpool", "maxpool 2x2", MaxPool{}},
    LayerWord{"avgpool", "avgpool 2x2", AveragePool{}},
    LayerWord{"globalpool", "globalpool", GlobalAveragePool{}},
    LayerWord{"linear", "linear 256' or 'linear classes", Linear{}, true},
    LayerWord{"dropout", "dropout 0.5", Dropout{}},
    LayerWord{"add", "add relu1", Add{}},
    LayerWord{"shortcut", "shortcut 64 stride 2 from relu1", PaddedShortcut{}, true},
};

/// In the order of Initialisation.
inline constexpr std::array<std::string_view, 3> kInitialisations = {"pytorch", "resnet", "vgg"};

/// Where `get` finds a field in whatever kind this is; null where the kind has none.
template <class T, class Get>
T* field(OperationKind& kind, Get get) {
  return std::visit(
      [&](auto& k) -> T* {
        if constexpr (std::is_invocable_v<Get, decltype(k)>) return get(k);
        return nullptr;
      },
      kind);
}
inline std::size_t* kernel_of(OperationKind& kind) {
  return field<std::size_t>(kind, [](auto& k) -> decltype(&k.kernel) { return &k.kernel; });
}
inline std::size_t* stride_of(OperationKind& kind) {
  return field<std::size_t>(kind, [](auto& k) -> decltype(&k.stride) { return &k.stride; });
}
inline std::size_t* padding_of(OperationKind& kind) {
  return field<std::size_t>(kind, [](auto& k) -> decltype(&k.padding) { return &k.padding; });
}
inline bool* bias_of(OperationKind& kind) {
  return field<bool>(kind, [](auto& k) -> decltype(&k.bias) { return &k.bias; });
}
inline double* epsilon_of(OperationKind& kind) {
  return field<double>(kind, [](auto& k) -> decltype(&k.epsilon) { return &k.epsilon; });
}
inline double* momentum_of(OperationKind& kind) {
  return field<double>(kind, [](auto& k) -> decltype(&k.momentum) { return &k.momentum; });
}
inline double* probability_of(OperationKind& kind) {
  return field<double>(kind, [](auto& k) -> decltype(&k.probability) { return &k.probability; });
}

/// Pools step by their window, all else by one.
inline std::size_t default_stride(OperationKind& kind) {
  const bool pool =
      std::holds_alternative<MaxPool>(kind) || std::holds_alternative<AveragePool>(kind);
  return pool ? *kernel_of(kind) : 1;
}

}  // namespace paceline
