#include "paceline/compute/cpu/convolution_choice_internal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace paceline {
namespace {

constexpr const char* kDirect = "direct";
constexpr const char* kWinograd = "winograd";
constexpr char kTab = '\t';

}  // namespace

ConvolutionChoice::ConvolutionChoice(std::filesystem::path file, std::string machine)
    : file_(std::move(file)), machine_(std::move(machine)) {
  read();
}

bool ConvolutionChoice::winograd(const std::string& what, const std::function<bool()>& faster) {
  const std::lock_guard lock(mutex_);
  if (const auto it = chosen_.find(what); it != chosen_.end()) return it->second;
  const bool winograd = faster();
  chosen_.emplace(what, winograd);
  append(machine_ + kTab + what + kTab + (winograd ? kWinograd : kDirect) + '\n');
  return winograd;
}

std::filesystem::path ConvolutionChoice::default_file() {
  const auto variable = [](const char* name) -> std::filesystem::path {
    const char* const value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  std::filesystem::path folder = variable("PACELINE_CACHE");
  if (folder.empty())
    if (const auto cache = variable("XDG_CACHE_HOME"); !cache.empty()) folder = cache / "paceline";
  if (folder.empty())
    if (const auto home = variable("HOME"); !home.empty()) folder = home / ".cache" / "paceline";
  return folder.empty() ? folder : folder / "convolutions.txt";
}

/// Lines of other machines, and lines that say nothing, are passed over.
void ConvolutionChoice::read() {
  std::ifstream lines(file_);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(machine_ + kTab)) continue;
    const std::size_t first = machine_.size() + 1, last = line.rfind(kTab);
    if (last < first) continue;
    const std::string choice = line.substr(last + 1);
    if (choice == kDirect || choice == kWinograd)
      chosen_.insert_or_assign(line.substr(first, last - first), choice == kWinograd);
  }
}

/// A line that cannot be kept costs the next start a timing, nothing else.
void ConvolutionChoice::append(const std::string& line) const {
  if (file_.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(file_.parent_path(), ignored);
  const int file = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) return;
  [[maybe_unused]] const auto written = ::write(file, line.data(), line.size());
  ::close(file);
}

}  // namespace paceline
