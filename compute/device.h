// What a backend offers: memory, vector algebra, and programs compiled for it. The CPU (oneDNN) and
// the plain-loop reference are linked in; others are shared objects opened when asked for, so that
// a missing driver costs nothing. Threading: a Device may be shared; an Executable belongs to the
// thread that compiled it and runs only there.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "paceline/compute/machine_limits.h"
#include "paceline/compute/program.h"
#include "paceline/compute/vector_math.h"
#include "paceline/result.h"

namespace paceline {

/// Owns device memory; 64-byte aligned at least, zero at first.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual void* data() = 0;
  virtual std::size_t bytes() const = 0;
};

/// Where one image of a RawBatch is cut.
struct Cut {
  std::int32_t top = 0, left = 0;  ///< the window's corner; may lie outside, where pixels are 0
  std::int32_t flip = 0;           ///< 1: left to right
  bool operator==(const Cut&) const = default;
};
/// A batch in bytes, for devices that cut and normalise images themselves. Pixel (y, x, c) of image i,
/// W wide, is byte(top + y, left + x', c) * scale[c] + shift[c], where x' is W - 1 - x in flipped images
/// and x in others, and 0 outside the stored image. In f32, the product rounded before the sum (no fused
/// multiply-add): the same bits on every device (cut_images_internal.h).
struct RawBatch {
  std::span<const std::uint8_t> images;  ///< [n,stored.H,stored.W,C]
  Shape stored;                          ///< of one image of the set
  std::span<const Cut> cuts;             ///< [n]
  std::span<const float> scale, shift;   ///< [C]
};
/// One batch in host memory: `images` or `raw`.
/// @param images [n,H,W,C] f32, @param labels [n] in [0, classes)
struct Batch {
  std::span<const float> images;
  std::span<const std::int32_t> labels;
  const RawBatch* raw = nullptr;  ///< where Executable::takes_raw(): then `images` is empty
};

struct CompileOptions {
  /// Images of a full batch; a smaller one may be evaluated, never trained on.
  std::size_t batch = 128;
  bool training = true;  ///< false: forward only, about half the memory
  /// Pins every choice that timing could make: the same bits on every run of a build.
  bool deterministic = false;
};

/// What evaluate() counts over one batch.
struct Evaluation {
  double loss_sum = 0;  ///< sum over images of the cross entropy
  /// Images whose largest logit (of equals, the first) is not the label's.
  std::uint64_t errors = 0;
  std::uint64_t images = 0;
};

/// What one operation's share of a training step is, on this device.
struct OperationCost {
  std::string name;    ///< of the operation: "layer1.0.conv2"; "update" for the optimiser
  std::string pass;    ///< "forward", "backward data", "backward weights", "backward"
  std::string how;     ///< what runs: "winograd jit:avx512_core", "normalise + add + relu"
  double flops = 0;    ///< multiplications and additions of the direct algorithm
  double bytes = 0;    ///< that must be read and written once at least
  double seconds = 0;  ///< measured: the median over the steps
};

/// A Program compiled for one device and batch size. After compile() nothing of ours allocates.
class Executable {
 public:
  virtual ~Executable() = default;
  /// Loss (mean over the batch) and gradient of one full batch.
  /// @param x [P] parameters, @param g [P] the gradient, overwritten; padding is written as zero
  /// @param buffers [B] running statistics, moved towards the batch's; may be empty where B is 0
  /// @param seed  of this step's dropout masks
  virtual double train_step(ConstVector x, Vector buffers, Vector g, const Batch& batch,
                            std::uint64_t seed) = 0;
  /// Whether the optimiser's step can be part of a training step.
  virtual bool updates() const { return false; }
  /// train_step(), and behind it VectorMath::update() without pulls: the same bits in x, momentum and g,
  /// whatever the loss is. Only where updates().
  /// @param x, momentum, g [P]; momentum empty for Momentum::none
  virtual double train_and_update(const Sgd& sgd, Vector x, Vector momentum, Vector buffers,
                                  Vector g, const Batch& batch, std::uint64_t seed);
  /// Whether batches may come as bytes.
  virtual bool takes_raw() const { return false; }

  // Where the host is idle in a step, it can prepare the next one meanwhile:
  //   EX-1 The next train_step() calls `work` once, while the device computes (so does train_and_update(),
  //        here and below). It no longer reads its own batch then, whose memory `work` may fill anew.
  //   EX-2 stage() has copied the batch when it returns. The next train_step() is of the batch that was
  //        staged last, which it takes from that copy alone; its argument names the same one.
  //   EX-3 Results are the same, bit for bit, whether batches are staged or not.

  virtual bool has_meanwhile() const { return false; }
  /// @param work  for one step; may stage() the next batch, and nothing else of this executable
  virtual void meanwhile(std::function<void()> /*work*/) {}
  /// Begins to bring a full batch to the device. Only where has_meanwhile().
  virtual void stage(const Batch& /*batch*/) {}

  /// @param buffers [B], only read
  /// @param batch  1 to CompileOptions::batch images
  virtual Evaluation evaluate(ConstVector x, ConstVector buffers, const Batch& batch) = 0;
  /// Forward only, with the batch's own statistics (and no dropout):
  /// buffers = (1 - share) buffers + share (statistics of this batch at x). With shares 1, 1/2, 1/3
  /// ... over several batches the buffers end as the mean of their statistics, which is how a mean of
  /// several workers comes to buffers of its own. Needs no CompileOptions::training.
  /// @param batch  a full one
  virtual void estimate_buffers(ConstVector x, Vector buffers, const Batch& batch,
                                double share) = 0;
  /// The logits of the last evaluate() or train_step(): [n, classes] f32 in host memory, valid
  /// until the next call.
  virtual std::span<const float> logits() = 0;
  /// All that is written beside the gradient: activations, their gradients, scratch.
  virtual std::size_t activation_bytes() const = 0;
  /// What that would be if every activation and gradient of one had memory of its own.
  virtual std::size_t unshared_activation_bytes() const { return activation_bytes(); }
  /// Runs `steps` training steps with a clock around every operation.
  /// @return in the order in which they run; empty on a device that cannot tell
  virtual std::vector<OperationCost> profile(ConstVector x, Vector buffers, Vector g,
                                             const Batch& batch, std::size_t steps);
};

/// What a device computes in. Parameters and sums are f32 in each.
enum class Precision : std::uint8_t {
  f32,
  tf32,  ///< products of factors that are rounded to 10 bits of mantissa
  bf16,  ///< activations, their gradients and the weights that are multiplied
};
/// "f32", "tf32", "bf16".
const char* name_of(Precision precision);

struct DeviceOptions {
  unsigned threads = 1;  ///< cores one Executable may use
  /// The one algorithm of convolutions to use wherever it can run, for comparisons; empty: the device
  /// chooses. CPU: "direct", "winograd", "mirrored".
  std::string convolution = {};
  Precision precision = Precision::f32;  ///< the CPU and the reference have f32 alone
};

/// Memory of a device that slots may lie in, told to other processes of the node by a few bytes.
struct SharedMemoryHandle {
  std::array<std::byte, 64> bytes{};
};

class Device {
 public:
  virtual ~Device() = default;
  /// One line for people: "CPU: AMD EPYC, AVX-512, oneDNN 2.6.3, 1 thread".
  virtual std::string description() const = 0;
  /// What a step is judged by: the peak of this device's arithmetic (in its precision, on as many
  /// threads as it may use) and its memory's bandwidth. May measure, for about a second.
  /// @return std::errc::not_supported from a device that cannot tell
  virtual Result<MachineLimits> limits();
  virtual const VectorMath& math() const = 0;  ///< f32
  virtual Result<std::unique_ptr<DeviceMemory>> allocate(std::size_t bytes) = 0;
  /// @return an error that names the operation that does not fit or cannot be run here
  virtual Result<std::unique_ptr<Executable>> compile(const Program& program,
                                                      const CompileOptions& options) = 0;

  // What follows means something to accelerators; hosts need none of it.

  /// The calling thread works for this worker from now on: several accelerators are dealt out in turn.
  virtual void use_for(std::uint32_t /*worker*/) {}
  /// Lets the accelerators read and write host memory in place (an arena, page-aligned), until unmap_host().
  virtual Result<> map_host(std::span<std::byte> /*memory*/) { return success(); }
  virtual void unmap_host(std::span<std::byte> /*memory*/) {}
  /// Whether all accelerators that workers are dealt can read each other's memory: then slots may lie
  /// there (allocate(), share(), borrow()).
  virtual bool shares_memory() const { return false; }
  /// @param memory  of this device's allocate(), alive as long as anybody borrows it
  virtual Result<SharedMemoryHandle> share(DeviceMemory& memory);
  /// Another process's shared memory. What this process has allocated itself it cannot borrow.
  virtual Result<std::unique_ptr<DeviceMemory>> borrow(const SharedMemoryHandle& handle,
                                                       std::size_t bytes);
};

/// Whether a backend takes no other precision than f32: "cpu" and "reference".
bool computes_in_f32_alone(std::string_view name);

/// Opens a backend: "cpu", "reference", or any NAME whose shared object libpaceline_NAME.so is
/// found beside the program, in its ../lib or on the library path, and exports
/// `paceline_open_device`.
/// @return an error that says which file was looked for and why it could not be used
Result<std::unique_ptr<Device>> open_device(std::string_view name, const DeviceOptions& options);

struct BackendStatus {
  std::string name;
  bool usable = false;
  std::string detail;  ///< the device's description, or why it cannot be used
  std::error_code code =
      {};  ///< no_such_file_or_directory: no shared object that the loader takes;
           ///< no_such_device: the backend found nothing that it can use
};
/// Every backend that this build knows of, tried; for `paceline doctor`.
std::vector<BackendStatus> backends();

/// The symbol that a backend's shared object exports, with C linkage, under the name
/// `paceline_open_device`. It returns a device or leaves the reason in *error.
using OpenDeviceFunction = Device* (*)(const DeviceOptions* options, std::string* error);

}  // namespace paceline
