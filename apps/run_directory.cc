#include "paceline/apps/run_directory.h"

#include <fmt/chrono.h>
#include <unistd.h>

#include <array>
#include <span>

#include "paceline/layers/atomic_file.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;

constexpr std::array kResults{"metrics.jsonl", "summary.json", "leader.safetensors"};
constexpr const char* kConfig = "config.ini";

}  // namespace

fs::path free_run_directory(std::string_view network, std::string_view protocol,
                            std::chrono::system_clock::time_point now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const std::string name =
      fmt::format("{:%Y%m%d-%H%M%S}-{}-{}", fmt::localtime(seconds), network, protocol);
  fs::path directory = fs::path("runs") / name;
  std::error_code ignored;
  for (int copy = 2; fs::exists(directory, ignored); ++copy) {
    directory = fs::path("runs") / fmt::format("{}-{}", name, copy);
  }
  return directory;
}

Result<> prepare_run_directory(const fs::path& directory, std::string_view config) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    return fail_errno(error.value(), "--run {}: choose a folder that can be made",
                      directory.string());
  }
  for (const char* file : kResults) {
    if (fs::exists(directory / file, error)) {
      return fail(std::errc::file_exists, "--run {}: holds a run already ({}): choose another",
                  directory.string(), file);
    }
  }
  if (fs::exists(directory / kConfig, error)) {
    return fail(std::errc::file_exists, "--run {}: holds a run already ({}): choose another",
                directory.string(), kConfig);
  }
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    return fail_errno(errno, "--run {}: choose a folder that can be written", directory.string());
  }
  return write_file_atomically(directory / kConfig, std::as_bytes(std::span(config)));
}

void abandon_run_directory(const fs::path& directory) {
  std::error_code ignored;
  for (const char* file : kResults) {
    if (fs::exists(directory / file, ignored)) return;
  }
  fs::remove(directory / kConfig, ignored);
  fs::remove(directory, ignored);  // fails, rightly, when something else lies in it
}

}  // namespace paceline
