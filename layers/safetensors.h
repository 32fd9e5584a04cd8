// Checkpoints: safetensors files with PyTorch's names and layouts (O,I,H,W; in over C,H,W).
// Written to a temporary beside the target, synced, renamed: a file under its final name is whole.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "paceline/layers/network.h"
#include "paceline/result.h"

namespace paceline {

/// Strings that travel in a file's __metadata__: network, image, classes, data, normalisation.
using Metadata = std::map<std::string, std::string>;

/// @param x  [layout.elements] in our layout; permuted on the way out
Result<> write_safetensors(const std::filesystem::path& path, const Layout& layout,
                           std::span<const float> x, const Metadata& metadata);

Result<Metadata> read_safetensors_metadata(const std::filesystem::path& path);

/// @return [layout.elements] in our layout; an error naming the first tensor that is missing or
/// whose shape differs
Result<std::vector<float>> read_safetensors(const std::filesystem::path& path,
                                            const Layout& layout);

/// Replaces a file's content whole or not at all: temporary, write, sync, rename. An error leaves
/// no temporary behind.
Result<> write_file_atomically(const std::filesystem::path& path,
                               std::span<const std::byte> content);

}  // namespace paceline
