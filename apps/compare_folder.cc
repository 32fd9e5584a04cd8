#include "paceline/apps/compare_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "paceline/apps/option_value.h"
#include "paceline/layers/atomic_file.h"
#include "paceline/layers/checksum.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBuild = "build";

std::string content(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

bool is_comparison(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path / CompareFolder::kPlan, ignored) && fs::exists(path / kBuild, ignored);
}

Error no_comparison(const fs::path& path) {
  return fail(std::errc::invalid_argument, "{}: holds no comparison (no {}): give one's folder",
              path.string(), CompareFolder::kPlan);
}

/// CF-3
Result<> check_build(const fs::path& path) {
  PACELINE_TRY(const FileSum own, file_checksum("/proc/self/exe"));
  const std::string wanted = fmt::format("paceline {} {:016x}\n", PACELINE_VERSION, own.xxh3);
  if (!fs::exists(path / kBuild)) return write_file_atomically(path / kBuild, wanted);
  if (content(path / kBuild) == wanted) return success();
  return fail(std::errc::invalid_argument,
              "{}: its runs are of another build of paceline: give another folder (--report reads "
              "this one)",
              path.string());
}

/// The first line of `is` that `wanted` has otherwise, and how.
std::string difference(const std::string& is, const std::string& wanted) {
  std::istringstream one(is), other(wanted);
  for (std::string a, b;;) {
    const bool more_a = static_cast<bool>(std::getline(one, a));
    const bool more_b = static_cast<bool>(std::getline(other, b));
    if (!more_a && !more_b) return "";
    if (!more_a) return fmt::format("no such option, and '{}' is wanted", b);
    if (!more_b) return fmt::format("'{}', which is not wanted", a);
    if (a != b) return fmt::format("'{}', and '{}' is wanted", a, b);
  }
}

}  // namespace

Result<CompareFolder> CompareFolder::open_to_run(const fs::path& path, const ComparePlan& plan) {
  std::error_code error;
  const bool empty =
      !fs::exists(path, error) || (fs::is_directory(path, error) && fs::is_empty(path, error));
  if (!empty && !is_comparison(path)) return no_comparison(path);
  fs::create_directories(path, error);
  if (error)
    return fail_errno(error.value(), "{}: choose a folder that can be made", path.string());
  CompareFolder folder(path);
  folder.lock_ = open((path / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (folder.lock_ < 0)
    return fail_errno(errno, "{}: choose a folder that can be written", path.string());
  if (flock(folder.lock_, LOCK_EX | LOCK_NB) != 0)
    return fail(std::errc::device_or_resource_busy,
                "{}: another paceline compare is at work there: wait for it, or stop it",
                path.string());
  PACELINE_TRYV(check_build(path));
  PACELINE_TRYV(write_file_atomically(path / kPlan, plan.text));
  return folder;
}

Result<CompareFolder> CompareFolder::open_to_read(const fs::path& path) {
  if (!is_comparison(path)) return no_comparison(path);
  return CompareFolder(path);
}

CompareFolder::CompareFolder(CompareFolder&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

CompareFolder::~CompareFolder() {
  if (lock_ >= 0) close(lock_);
}

fs::path CompareFolder::run(const ComparePlan& plan, const PlannedRun& run) const {
  return path_ / plan.contenders[run.contender].name /
         (run.grid ? "rate-" + show_real(run.rate) : fmt::format("seed-{}", run.seed));
}

fs::path CompareFolder::log(const fs::path& run) { return run.string() + ".log"; }

Result<bool> CompareFolder::finished(const ComparePlan& plan, const PlannedRun& planned,
                                     const TrainOptions& wanted) const {
  const fs::path directory = run(plan, planned);
  const auto summary = nlohmann::json::parse(content(directory / "summary.json"), nullptr, false);
  if (!summary.is_object() || summary.value("ended_by", "") == "interrupt") return false;
  const std::string options = difference(content(directory / "config.ini"), config_text(wanted));
  if (options.empty()) return true;
  return fail(std::errc::invalid_argument, "{}: was trained with {}: give another folder",
              directory.string(), options);
}

}  // namespace paceline
