// The folder of a comparison: its plan, the build that makes its runs, and a folder for each run.
//   CF-1 One comparison at a time works in a folder; what works there says so by a lock that ends with
//        it.
//   CF-2 A finished run is kept and never made again; it was made with the options that are wanted now,
//        else all is refused. What is half-done is removed and begins anew.
//   CF-3 All runs of a folder come from one build of the program.
#pragma once

#include <filesystem>
#include <string>

#include "paceline/apps/compare_plan.h"

namespace paceline {

class CompareFolder {
 public:
  static constexpr const char* kPlan = "plan.ini";

  /// Makes the folder, or finds it again, and writes the plan into it.
  static Result<CompareFolder> open_to_run(const std::filesystem::path& path,
                                           const ComparePlan& plan);
  /// To read alone.
  static Result<CompareFolder> open_to_read(const std::filesystem::path& path);
  CompareFolder(CompareFolder&& other) noexcept;
  CompareFolder& operator=(CompareFolder&&) = delete;
  ~CompareFolder();

  std::filesystem::path run(const ComparePlan& plan, const PlannedRun& run) const;
  /// CF-2. @return an error that names the first option that differs
  Result<bool> finished(const ComparePlan& plan, const PlannedRun& run,
                        const TrainOptions& wanted) const;
  /// Where the standard output and error of a run go: beside its folder.
  static std::filesystem::path log(const std::filesystem::path& run);

 private:
  explicit CompareFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
  int lock_ = -1;  // CF-1
};

}  // namespace paceline
