// A set's image files: their names alone, for sets that are larger than memory. The names do not
// change once the set is shared; the log guards itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "paceline/layers/input/reading_log.h"

namespace paceline {

class ImageFiles {
 public:
  explicit ImageFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// @param name  below the folder: "train/cat/1.jpg"
  void add(std::string_view name) {
    names_ += name;
    ends_.push_back(names_.size());
  }
  std::size_t size() const { return ends_.size(); }
  std::string_view name(std::size_t file) const {
    const std::size_t start = file == 0 ? 0 : ends_[file - 1];
    return std::string_view(names_).substr(start, ends_[file] - start);
  }
  std::string path(std::size_t file) const { return folder_ / name(file); }
  /// Also of a shared set: reading is logged, and changes no image.
  ReadingLog& log() const { return log_; }

 private:
  const std::filesystem::path folder_;
  std::string names_;  ///< one after the other: a string each would take twice the memory
  std::vector<std::uint64_t> ends_;
  mutable ReadingLog log_;
};

}  // namespace paceline
