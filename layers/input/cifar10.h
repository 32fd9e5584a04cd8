// CIFAR-10's binary version: six files of 10,000 records, each a label byte and the red, green and
// blue planes of a 32x32 image.
// @source Krizhevsky 2009; https://www.cs.toronto.edu/~kriz/cifar.html
#pragma once

#include <filesystem>

#include "paceline/layers/input/dataset.h"

namespace paceline {

/// Whether a folder, or cifar-10-batches-bin/ below it, holds any of the six files.
bool holds_cifar10(const std::filesystem::path& folder);
/// @return an error naming the first file that is missing, too short, too long, or holds a label
/// out of range
Result<Data> load_cifar10(const std::filesystem::path& folder);

}  // namespace paceline
