#include "paceline/apps/doctor_gpu.h"

#include <cstdlib>
#include <fstream>
#include <string_view>

namespace paceline {
namespace {

constexpr std::string_view kOurs = "libpaceline_cuda.so";

/// The library that the loader wanted for ours and did not find, from its words
/// "NAME: cannot open shared object file: ..."; empty: none.
std::string missing_library(std::string_view reasons) {
  constexpr std::string_view kWords = ": cannot open shared object file";
  for (std::size_t at = reasons.find(kWords); at != std::string_view::npos;
       at = reasons.find(kWords, at + kWords.size())) {
    const std::string_view before = reasons.substr(0, at);
    const std::string_view name = before.substr(before.find_last_of(" /") + 1);
    if (name != kOurs) return std::string(name);
  }
  return {};
}

/// The loader has not taken the shared object.
Finding not_loaded(const BackendStatus& cuda, const GpuSurroundings& around) {
  const std::string subject = "device cuda";
  const Mark mark = around.driver.empty() ? Mark::note : Mark::warn;
  if (const std::string missing = missing_library(cuda.detail); !missing.empty())
    return {subject, mark, fmt::format("the GPU backend needs {}, which is not found", missing),
            "install it, or name its folder in LD_LIBRARY_PATH"};
  if (cuda.detail.find("undefined symbol") != std::string::npos)
    return {subject, mark, cuda.detail, fmt::format("{} of the same build as the program", kOurs)};
  if (around.built)
    return {subject, mark, fmt::format("{} is not found", kOurs),
            "keep it beside the program or in ../lib, or name its folder in LD_LIBRARY_PATH"};
  return {subject, Mark::note, "GPUs cannot be used: this build is without CUDA",
          "install CUDA 12 or newer and cuDNN 9, then build with cmake -DPACELINE_WITH_CUDA=ON"};
}

}  // namespace

GpuSurroundings gpu_surroundings() {
  GpuSurroundings around{.built = PACELINE_CUDA_BUILT != 0, .driver = {}, .visible = {}};
  std::ifstream version("/proc/driver/nvidia/version");
  std::getline(version, around.driver);
  if (const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES"))
    around.visible = fmt::format("CUDA_VISIBLE_DEVICES={}", visible);
  return around;
}

Finding gpu_finding(const BackendStatus& cuda, const GpuSurroundings& around) {
  const std::string subject = "device cuda";
  if (cuda.usable) return {subject, Mark::ok, cuda.detail, ""};
  if (cuda.code == std::errc::no_such_file_or_directory) return not_loaded(cuda, around);
  if (around.driver.empty())
    return {subject, Mark::note,
            fmt::format("GPUs cannot be used: no NVIDIA driver is loaded ({})", cuda.detail),
            "install NVIDIA's driver; in a container: docker run --gpus all"};
  if (cuda.detail.find("insufficient") != std::string::npos)
    return {subject, Mark::warn, fmt::format("{}; the driver: {}", cuda.detail, around.driver),
            "a driver that is new enough for this build's CUDA"};
  if (!around.visible.empty())
    return {subject, Mark::warn, fmt::format("{}; {}", cuda.detail, around.visible),
            "unset CUDA_VISIBLE_DEVICES, which hides GPUs, or name some in it"};
  return {subject, Mark::warn, cuda.detail,
          "nvidia-smi says which GPUs there are; in a container: docker run --gpus all"};
}

}  // namespace paceline
