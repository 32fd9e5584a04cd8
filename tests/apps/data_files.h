// Data sets on disk, small and whole: tests damage one thing in them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace paceline {

/// The four IDX files of a MNIST folder: ten images of 28x28 to learn from, ten to test on, labels
/// 0 to 9.
void write_idx_folder(const std::filesystem::path& folder);

/// Six CIFAR-10 batches of the size that its authors publish.
void write_cifar_folder(const std::filesystem::path& folder);

/// Replaces bytes of a file in place.
void overwrite(const std::filesystem::path& file, std::size_t offset, const std::string& bytes);

}  // namespace paceline
