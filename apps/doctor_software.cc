// Backends, libraries, and the folders that a run writes to.
#include <dnnl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <boost/version.hpp>
#include <caf/config.hpp>
#include <filesystem>

#include "paceline/apps/doctor_gpu.h"
#include "paceline/apps/finding.h"
#include "paceline/compute/device.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;

std::vector<Finding> examine_backends() {
  std::vector<Finding> findings;
  for (const BackendStatus& backend : backends()) {
    if (backend.name == "cuda") {
      findings.push_back(gpu_finding(backend, gpu_surroundings()));
      continue;
    }
    // Training needs the processor's; the others are for those who have the hardware.
    const Mark absent = backend.name == "cpu" ? Mark::fail : Mark::note;
    findings.push_back(
        {"device " + backend.name, backend.usable ? Mark::ok : absent, backend.detail, ""});
  }
  return findings;
}

Finding examine_libraries() {
  const dnnl_version_t* onednn = dnnl_version();
#ifdef CAF_VERSION_MAJOR
  const std::string caf =
      fmt::format("{}.{}.{}", CAF_VERSION_MAJOR, CAF_VERSION_MINOR, CAF_VERSION_PATCH);
#else
  const std::string caf =
      fmt::format("{}.{}.{}", CAF_VERSION / 10000, CAF_VERSION / 100 % 100, CAF_VERSION % 100);
#endif
  return {"libraries", Mark::ok,
          fmt::format("CAF {}, oneDNN {}.{}.{}, Boost {}.{}.{}; paceline {}", caf, onednn->major,
                      onednn->minor, onednn->patch, BOOST_VERSION / 100000,
                      BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100, PACELINE_VERSION),
          ""};
}

/// @param folder  itself or, before it is made, the nearest one above it
Finding examine_folder(const std::string& subject, fs::path folder, const char* remedy) {
  constexpr double kMiB = 1024.0 * 1024, kLittle = 100 * kMiB;
  std::error_code error;
  folder = fs::absolute(folder, error);
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  if (!fs::is_directory(folder, error) || access(folder.c_str(), W_OK | X_OK) != 0) {
    return {subject, Mark::fail, folder.string() + " cannot be written", remedy};
  }
  struct statvfs state {};
  if (statvfs(folder.c_str(), &state) != 0) return {subject, Mark::ok, folder.string(), ""};
  const double available =
      static_cast<double>(state.f_frsize) * static_cast<double>(state.f_bavail);
  const std::string found = fmt::format("{}, {:.0f} MiB free", folder.string(), available / kMiB);
  if (available < kLittle) return {subject, Mark::warn, found, remedy};
  return {subject, Mark::ok, found, ""};
}

}  // namespace

std::vector<Finding> examine_software() {
  std::vector<Finding> findings = examine_backends();
  findings.push_back(examine_libraries());
  findings.push_back(examine_folder("run folder", "runs", "paceline train --run DIR elsewhere"));
  return findings;
}

}  // namespace paceline
