// IDX files, plain or gzip: MNIST, Fashion-MNIST and what is kept in their format. A big-endian
// header (magic, then one count a dimension), then bytes.
// @source LeCun, Cortes, Burges, "The MNIST database"; Xiao, Rasul, Vollgraf 2017
#pragma once

#include <cstdint>
#include <filesystem>

#include "paceline/layers/input/dataset.h"

namespace paceline {

enum class IdxKind : std::uint8_t {
  mnist,          ///< digits, 28x28: never mirrored
  fashion_mnist,  ///< clothes, 28x28
  unnamed,        ///< any size; not mirrored, since nobody said what it shows
};

/// Whether a folder holds any of the four files.
bool holds_idx(const std::filesystem::path& folder);
/// Grey images of ten classes, out of train-images-idx3-ubyte, train-labels-idx1-ubyte,
/// t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, each plain or .gz.
/// @return an error naming the first file that is missing, too short, too long, damaged, of another
/// format or size, or holds a label out of range
Result<Data> load_idx(const std::filesystem::path& folder, IdxKind kind);

}  // namespace paceline
