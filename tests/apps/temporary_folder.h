// A folder that is gone with its test.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace paceline {

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// The path of `name` in it, as text.
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// A file's bytes; empty if there is none.
std::string content(const std::filesystem::path& file);

/// The names of what lies in a folder, sorted.
std::vector<std::string> listing(const std::filesystem::path& folder);

}  // namespace paceline
