#include "paceline/compute/device.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "paceline/compute/cpu/cpu_device_internal.h"
#include "paceline/compute/reference/reference_device_internal.h"

namespace paceline {
namespace {

constexpr const char* kSymbol = "paceline_open_device";

/// Where the shared object may lie: beside the program, in its ../lib, where the loader looks.
std::vector<std::string> candidates(const std::string& file) {
  std::error_code ignored;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  if (program.empty()) return {file};
  const std::filesystem::path folder = program.parent_path();
  return {folder / file, folder.parent_path() / "lib" / file, file};
}

std::string loader_error() {
  const char* const text = dlerror();
  return text != nullptr ? text : "no reason given";
}

/// The opened shared object stays loaded to the end of the process: its code runs until then.
Result<void*> load(std::string_view name) {
  const std::string file = fmt::format("libpaceline_{}.so", name);
  std::string reasons;
  for (const std::string& candidate : candidates(file)) {
    if (void* const library = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    reasons += "; " + loader_error();
  }
  return fail(
      std::errc::no_such_file_or_directory,
      "no usable backend \"{}\": looked for {} beside the program, in its ../lib and on the "
      "library path{}",
      name, file, reasons);
}

Result<std::unique_ptr<Device>> open_shared_object(std::string_view name,
                                                   const DeviceOptions& options) {
  PACELINE_TRY(void* const library, load(name));
  void* const symbol = dlsym(library, kSymbol);
  if (symbol == nullptr)
    return fail(std::errc::function_not_supported, "backend \"{}\" is not one of paceline's: {}",
                name, loader_error());
  std::string reason;
  std::unique_ptr<Device> device(reinterpret_cast<OpenDeviceFunction>(symbol)(&options, &reason));
  if (!device)
    return fail(std::errc::no_such_device, "backend \"{}\" cannot be used: {}", name, reason);
  return device;
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

double Executable::train_and_update(const Sgd&, Vector, Vector, Vector, Vector, const Batch&,
                                    std::uint64_t) {
  PACELINE_CHECK(false, "an update asked of an executable that takes none");
  return 0;
}

std::vector<OperationCost> Executable::profile(ConstVector, Vector, Vector, const Batch&,
                                               std::size_t) {
  return {};
}

const char* name_of(Precision precision) {
  constexpr std::array kNames{"f32", "tf32", "bf16"};
  return kNames[static_cast<std::size_t>(precision)];
}

Result<MachineLimits> Device::limits() {
  return fail(std::errc::not_supported, "{}: cannot tell what it can do at most", description());
}

Result<SharedMemoryHandle> Device::share(DeviceMemory&) {
  return fail(std::errc::not_supported, "{}: its memory cannot be shared between processes",
              description());
}

Result<std::unique_ptr<DeviceMemory>> Device::borrow(const SharedMemoryHandle&, std::size_t) {
  return fail(std::errc::not_supported, "{}: its memory cannot be shared between processes",
              description());
}

namespace {

Result<std::unique_ptr<Device>> open_cpu_device(const DeviceOptions& options) {
  constexpr std::array known = {"", "direct", "winograd", "mirrored"};
  if (std::ranges::find(known, options.convolution) == known.end())
    return fail(std::errc::invalid_argument,
                "the device cpu has no convolutions called \"{}\": direct, winograd or mirrored",
                options.convolution);
  try {
    return make_cpu_device(options);
  } catch (const std::exception& error) {
    return fail(std::errc::not_supported, "oneDNN cannot be used here: {}", error.what());
  }
}

}  // namespace

bool computes_in_f32_alone(std::string_view name) { return name == "cpu" || name == "reference"; }

Result<std::unique_ptr<Device>> open_device(std::string_view name, const DeviceOptions& options) {
  if (options.threads == 0)
    return fail(std::errc::invalid_argument, "a device needs at least one thread");
  if (computes_in_f32_alone(name) && options.precision != Precision::f32)
    return fail(std::errc::invalid_argument,
                "--precision {}: the device {} computes in f32 alone: leave it out, or give a GPU "
                "(--device cuda)",
                name_of(options.precision), name);
  if (name == "cpu") return open_cpu_device(options);
  if (name == "reference") return make_reference_device();
  if (!is_plain_name(name))
    return fail(
        std::errc::invalid_argument,
        "\"{}\" is no backend's name: use cpu, reference, cuda or another's lower-case name", name);
  return open_shared_object(name, options);
}

std::vector<BackendStatus> backends() {
  std::vector<BackendStatus> all;
  for (const char* const name : {"cpu", "reference", "cuda"}) {
    const auto device = open_device(name, {});
    all.push_back({.name = name,
                   .usable = device.has_value(),
                   .detail = device ? device.value()->description() : device.error().message,
                   .code = device ? std::error_code{} : device.error().code});
  }
  return all;
}

}  // namespace paceline
