#include "paceline/compute/convolution_choice_internal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <thread>
#include <vector>

namespace paceline {
namespace {

constexpr char kTab = '\t';

constexpr int kLeastRounds = 4, kMostRounds = 50;
constexpr double kEnough = 0.1;  // seconds

int open_for_appending(const std::filesystem::path& file) {
  if (file.empty()) return -1;
  std::error_code ignored;
  std::filesystem::create_directories(file.parent_path(), ignored);
  return ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

/// Timing::in_turn's lock. Who cannot have it in time, or at all, times without: what may be lost
/// is some precision.
class Turn {
 public:
  explicit Turn(const std::filesystem::path& file) : file_(open_for_appending(file)) {
    using std::chrono::steady_clock;
    const auto deadline = steady_clock::now() + std::chrono::seconds(5);
    while (file_ >= 0 && ::flock(file_, LOCK_EX | LOCK_NB) != 0 && steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ~Turn() {
    if (file_ >= 0) ::close(file_);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  const int file_;
};

}  // namespace

ConvolutionChoice::ConvolutionChoice(std::filesystem::path file, std::string machine, Timing timing)
    : file_(std::move(file)), machine_(std::move(machine)), timing_(timing) {
  read();
}

/// What is not among the names was written by another version.
std::optional<std::string> ConvolutionChoice::find(const std::string& what,
                                                   std::span<const std::string> names) const {
  const auto it = chosen_.find(what);
  if (it == chosen_.end() || std::ranges::find(names, it->second) == names.end())
    return std::nullopt;
  return it->second;
}

std::optional<std::string> ConvolutionChoice::remembered(const std::string& what,
                                                         std::span<const std::string> names) {
  const std::lock_guard lock(mutex_);
  return find(what, names);
}

std::string ConvolutionChoice::fastest(const std::string& what, std::span<const std::string> names,
                                       const std::function<double(std::size_t)>& seconds) {
  const std::lock_guard lock(mutex_);
  if (const auto chosen = find(what, names)) return *chosen;
  std::optional<Turn> turn;
  if (timing_ == Timing::in_turn) {
    turn.emplace(file_);
    read();
    if (const auto chosen = find(what, names)) return *chosen;
  }
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

std::filesystem::path ConvolutionChoice::default_file(const char* name) {
  const auto variable = [](const char* which) -> std::filesystem::path {
    const char* const value = std::getenv(which);
    return value != nullptr ? value : "";
  };
  std::filesystem::path folder = variable("PACELINE_CACHE");
  if (folder.empty())
    if (const auto cache = variable("XDG_CACHE_HOME"); !cache.empty()) folder = cache / "paceline";
  if (folder.empty())
    if (const auto home = variable("HOME"); !home.empty()) folder = home / ".cache" / "paceline";
  return folder.empty() ? folder : folder / name;
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
  const int file = open_for_appending(file_);
  if (file < 0) return;
  // Whoever wrote last may have been killed in the middle of a line.
  char last = '\n';
  const off_t bytes = ::lseek(file, 0, SEEK_END);
  if (bytes > 0 && ::pread(file, &last, 1, bytes - 1) != 1) last = '\n';
  const std::string whole = last == '\n' ? line : '\n' + line;
  [[maybe_unused]] const auto written = ::write(file, whole.data(), whole.size());
  ::close(file);
}

}  // namespace paceline
