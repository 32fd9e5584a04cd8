// The GPUs of this machine as one Device: what `paceline_open_device` of libpaceline_cuda.so gives.
// Workers are dealt out over the GPUs in turn (use_for); memory, streams and executables belong to the
// GPU of the thread that makes them.
#include <cublasLt.h>
#include <cudnn.h>

#include <filesystem>
#include <limits>

#include "paceline/compute/batch_check_internal.h"
#include "paceline/compute/convolution_choice_internal.h"
#include "paceline/compute/cuda/convolution_internal.h"
#include "paceline/compute/cuda/cuda_error_internal.h"
#include "paceline/compute/cuda/executable_internal.h"
#include "paceline/compute/cuda/vector_math_internal.h"

namespace paceline::cuda {
namespace {

/// Multiplications and additions of one multiprocessor in a clock, from dense matrices' units where the
/// precision uses them (NVIDIA's whitepapers of A100, H100 and B200). @return 0 where unknown
double flops_a_clock(int major, int minor, Precision precision) {
  if (minor != 0) return 0;
  const bool f32 = precision == Precision::f32, tf32 = precision == Precision::tf32;
  if (major == 8) return f32 ? 128 : tf32 ? 1024 : 2048;
  if (major == 9) return f32 ? 256 : tf32 ? 2048 : 4096;
  if (major == 10) return f32 ? 256 : tf32 ? 4096 : 8192;
  return 0;
}

int attribute(cudaDeviceAttr which) {
  int value = 0, device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

/// cudaMalloc's, or another process's, opened.
class CudaMemory final : public DeviceMemory {
 public:
  /// @param free  cudaFree or cudaIpcCloseMemHandle
  CudaMemory(void* data, std::size_t bytes, Twins& twins, cudaError_t (*free)(void*))
      : data_(data), bytes_(bytes), twins_(twins), free_(free) {}
  ~CudaMemory() override {
    twins_.forget(data_);
    free_(data_);
  }
  void* data() override { return data_; }
  std::size_t bytes() const override { return bytes_; }

 private:
  void* const data_;
  const std::size_t bytes_;
  Twins& twins_;
  cudaError_t (*const free_)(void*);
};

class CudaDevice final : public Device {
 public:
  CudaDevice(const DeviceOptions& options, int gpus)
      : options_(options), gpus_(gpus), math_(make_vector_math(twins_)) {
    check(cudaGetDeviceProperties(&properties_, 0), "cudaGetDeviceProperties");
    connect();
  }

  std::string description() const override {
    return fmt::format("GPU: {}{}, compute capability {}.{}, cuDNN {}.{}.{}, {}",
                       gpus_ > 1 ? fmt::format("{} x ", gpus_) : "", properties_.name,
                       properties_.major, properties_.minor, CUDNN_MAJOR, CUDNN_MINOR,
                       CUDNN_PATCHLEVEL, name_of(options_.precision));
  }
  const VectorMath& math() const override { return *math_; }

  Result<std::unique_ptr<DeviceMemory>> allocate(std::size_t bytes) override {
    // Small blocks share one of cudaMalloc's, which a handle would show to others as a whole.
    constexpr std::size_t kBlock = 2u << 20;
    const std::size_t whole = (std::max<std::size_t>(bytes, 1) + kBlock - 1) / kBlock * kBlock;
    void* data = nullptr;
    if (const cudaError_t status = cudaMalloc(&data, whole); status != cudaSuccess) {
      cudaGetLastError();
      return fail(std::errc::not_enough_memory, "no {} bytes of the GPU's memory: {}", whole,
                  cudaGetErrorString(status));
    }
    auto memory = std::make_unique<CudaMemory>(data, bytes, twins_, &cudaFree);
    cudaError_t status = cudaMemsetAsync(data, 0, whole, cudaStreamPerThread);
    if (status == cudaSuccess) status = cudaStreamSynchronize(cudaStreamPerThread);
    if (status != cudaSuccess)
      return fail(std::errc::io_error, "cudaMemset: {}", cudaGetErrorString(status));
    return memory;
  }

  /// By the data sheet: clocks and widths that the driver tells, nothing measured.
  Result<MachineLimits> limits() override {
    const double clock = 1e3 * attribute(cudaDevAttrClockRate);
    const double flops = flops_a_clock(properties_.major, properties_.minor, options_.precision);
    const double memory_clock = 1e3 * attribute(cudaDevAttrMemoryClockRate);
    const double width = attribute(cudaDevAttrGlobalMemoryBusWidth) / 8.0;  // bytes
    if (flops == 0 || clock == 0 || memory_clock == 0)
      return fail(std::errc::not_supported, "no peak is known for {}", properties_.name);
    return MachineLimits{.flops_per_second = flops * clock * properties_.multiProcessorCount,
                         .bytes_per_second = 2 * memory_clock * width};
  }

  Result<std::unique_ptr<Executable>> compile(const Program& program,
                                              const CompileOptions& options) override {
    PACELINE_TRYV(check_compilable(program, options));
    if (!options_.convolution.empty())
      return fail(std::errc::invalid_argument,
                  "the device cuda has no convolutions called \"{}\": cuDNN's are chosen by timing",
                  options_.convolution);
    try {
      PACELINE_TRY(auto planner,
                   make_convolution_planner(
                       ConvolutionChoice::default_file("gpu_convolutions.txt").string()));
      const PlanMakers makers{
          .convolution =
              [&](const ConvolutionShape& shape, ConvolutionPass pass) {
                return planner->choose(shape, pass, options.deterministic);
              },
          .linear = [](const LinearShape& shape) { return make_linear(shape); }};
      PACELINE_TRY(auto plan, make_plan(program, options, options_.precision, makers));
      return make_executable(program, options, options_.precision, std::move(plan),
                             std::move(planner), twins_);
    } catch (const std::exception& error) {  // memory, or a driver's own
      return fail(std::errc::not_enough_memory,
                  "the network cannot be made ready for batches of {} on the GPU: {}",
                  options.batch, error.what());
    }
  }

  void use_for(std::uint32_t worker) override {
    check(cudaSetDevice(static_cast<int>(worker % static_cast<std::uint32_t>(gpus_))),
          "cudaSetDevice");
  }
  Result<> map_host(std::span<std::byte> memory) override {
    const cudaError_t status =
        cudaHostRegister(memory.data(), memory.size(), cudaHostRegisterPortable);
    if (status == cudaSuccess) return success();
    cudaGetLastError();
    return fail(
        std::errc::not_enough_memory,
        "the GPU cannot map {} bytes of shared memory ({}): raise the limit of locked memory "
        "(ulimit -l unlimited), or take fewer workers",
        memory.size(), cudaGetErrorString(status));
  }
  void unmap_host(std::span<std::byte> memory) override {
    if (cudaHostUnregister(memory.data()) != cudaSuccess) cudaGetLastError();
  }
  bool shares_memory() const override { return connected_; }
  Result<SharedMemoryHandle> share(DeviceMemory& memory) override {
    static_assert(sizeof(cudaIpcMemHandle_t) == sizeof(SharedMemoryHandle));
    cudaIpcMemHandle_t handle{};
    if (const cudaError_t status = cudaIpcGetMemHandle(&handle, memory.data());
        status != cudaSuccess) {
      static_cast<void>(cudaGetLastError());
      return fail(std::errc::not_supported,
                  "the GPU's memory cannot be shared between processes: {}",
                  cudaGetErrorString(status));
    }
    SharedMemoryHandle result;
    std::copy_n(reinterpret_cast<const std::byte*>(&handle), sizeof handle, result.bytes.begin());
    return result;
  }
  Result<std::unique_ptr<DeviceMemory>> borrow(const SharedMemoryHandle& handle,
                                               std::size_t bytes) override {
    cudaIpcMemHandle_t opened{};
    std::copy_n(handle.bytes.begin(), sizeof opened, reinterpret_cast<std::byte*>(&opened));
    void* data = nullptr;
    if (const cudaError_t status =
            cudaIpcOpenMemHandle(&data, opened, cudaIpcMemLazyEnablePeerAccess);
        status != cudaSuccess)
      return fail(
          std::errc::not_supported,
          "another process's memory of the GPU cannot be opened: {}: --slot-memory host does "
          "without",
          cudaGetErrorString(status));
    return std::make_unique<CudaMemory>(data, bytes, twins_, &cudaIpcCloseMemHandle);
  }

 private:
  /// Lets every GPU read every other's memory, where the machine can.
  void connect() {
    int current = 0;
    check(cudaGetDevice(&current), "cudaGetDevice");
    for (int a = 0; a < gpus_; ++a)
      for (int b = 0; b < gpus_; ++b) {
        int can = 1;
        if (a != b) check(cudaDeviceCanAccessPeer(&can, a, b), "cudaDeviceCanAccessPeer");
        if (!can) connected_ = false;
        if (a == b || !can) continue;
        check(cudaSetDevice(a), "cudaSetDevice");
        if (const cudaError_t status = cudaDeviceEnablePeerAccess(b, 0);
            status == cudaErrorPeerAccessAlreadyEnabled)
          cudaGetLastError();
        else
          check(status, "cudaDeviceEnablePeerAccess");
      }
    check(cudaSetDevice(current), "cudaSetDevice");
  }

  const DeviceOptions options_;
  const int gpus_;
  cudaDeviceProp properties_{};
  bool connected_ = true;
  Twins twins_;
  const std::unique_ptr<VectorMath> math_;
};

/// @return null, with the reason in words
std::unique_ptr<Device> open(const DeviceOptions& options, std::string& reason) {
  int gpus = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&gpus); status != cudaSuccess || gpus == 0) {
    if (status == cudaErrorInsufficientDriver)
      reason = fmt::format(
          "no NVIDIA driver, or one older than CUDA {}.{} needs: install or update it (nvidia-smi "
          "shows its version)",
          CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    else
      reason = fmt::format("no GPU to be seen ({}): is one there, and CUDA_VISIBLE_DEVICES right?",
                           cudaGetErrorString(status == cudaSuccess ? cudaErrorNoDevice : status));
    return nullptr;
  }
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  if (properties.major < 8) {
    reason = fmt::format("{} has compute capability {}.{}: 8.0 or newer is needed", properties.name,
                         properties.major, properties.minor);
    return nullptr;
  }
  if (cudnnGetVersion() / 10000 != CUDNN_MAJOR) {
    reason = fmt::format("cuDNN {} was found, built for {}", cudnnGetVersion(), CUDNN_VERSION);
    return nullptr;
  }
  return std::make_unique<CudaDevice>(options, gpus);
}

}  // namespace
}  // namespace paceline::cuda

extern "C" __attribute__((visibility("default"))) paceline::Device* paceline_open_device(
    const paceline::DeviceOptions* options, std::string* error) try {
  return paceline::cuda::open(*options, *error).release();
} catch (const std::exception& failure) {
  *error = failure.what();
  return nullptr;
}
