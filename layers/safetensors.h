// Checkpoints: safetensors files with PyTorch's names and layouts (O,I,H,W; in over C,H,W).
//   ST-1 A file under its final name is whole (AF-1).
//   ST-2 Nothing of a file is used before all of its header has been checked: lengths, offsets,
//        types, shapes.
// Format: 8 bytes, the header's length N, little-endian; N bytes of JSON, {"NAME": {"dtype",
// "shape", "data_offsets": [begin, end)}, "__metadata__": {string: string}}, padded with spaces so
// that the tensors, which follow without gaps, start at a multiple of 8.
// @source https://github.com/huggingface/safetensors, "Format"
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

/// @param x  [layout.all_elements()] in our layout, parameters and buffers; permuted on the way out
/// @return the errors of write_file_atomically
Result<> write_safetensors(const std::filesystem::path& path, const Layout& layout,
                           std::span<const float> x, const Metadata& metadata);

/// Flat vectors by name, one-dimensional tensors in a file.
struct NamedVector {
  std::string name;
  std::span<const float> values;
};
/// @param vectors  names that differ
/// @return the errors of write_file_atomically
Result<> write_named_vectors(const std::filesystem::path& path,
                             std::span<const NamedVector> vectors);
/// @return an error naming the first tensor that is not F32 or has more than one dimension
Result<std::map<std::string, std::vector<float>>> read_named_vectors(
    const std::filesystem::path& path);

/// @return empty if the file carries none
Result<Metadata> read_safetensors_metadata(const std::filesystem::path& path);

/// PyTorch's `num_batches_tracked` may be there and is ignored.
/// @return [layout.all_elements()] in our layout; an error naming the first tensor that is missing,
/// is not F32, has another shape or does not belong
Result<std::vector<float>> read_safetensors(const std::filesystem::path& path,
                                            const Layout& layout);

}  // namespace paceline
