#include "paceline/compute/cpu/convolution_choice_internal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <vector>

namespace paceline {
namespace {

constexpr char kTab = '\t';

constexpr int kLeastRounds = 4, kMostRounds = 50;
constexpr double kEnough = 0.1;  // seconds

}  // namespace

ConvolutionChoice::ConvolutionChoice(std::filesystem::path file, std::string machine)
    : file_(std::move(file)), machine_(std::move(machine)) {
  read();
}

std::string ConvolutionChoice::fastest(const std::string& what, std::span<const std::string> names,
                                       const std::function<double(std::size_t)>& seconds) {
  const std::lock_guard lock(mutex_);
  // What is not among the names was written by another version.
  if (const auto it = chosen_.find(what);
      it != chosen_.end() && std::ranges::find(names, it->second) != names.end())
    return it->second;
  // In turn, and the best of each: what disturbs one for a while disturbs the others, too.
  std::vector<double> times(names.size(), std::numeric_limits<double>::infinity());
  double all = 0;
  for (int round = 0; round < kMostRounds && (round < kLeastRounds || all < kEnough); ++round)
    for (std::size_t k = 0; k < names.size(); ++k) {
      const double time = seconds(k);
      times[k] = std::min(times[k], time);
      all += time;
    }
  const std::string& best =
      names[static_cast<std::size_t>(std::ranges::min_element(times) - times.begin())];
  chosen_.insert_or_assign(what, best);
  append(machine_ + kTab + what + kTab + best + '\n');
  return best;
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
    if (last > first)
      chosen_.insert_or_assign(line.substr(first, last - first), line.substr(last + 1));
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
