// What a backend offers: memory, vector algebra, and programs compiled for it. The CPU (oneDNN) and
// the plain-loop reference are linked in; others are shared objects opened when asked for, so that
// a missing driver costs nothing. Threading: a Device may be shared; an Executable belongs to the
// thread that compiled it and runs only there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

/// One batch in host memory. @param images [n,H,W,C] f32, @param labels [n] in [0, classes)
struct Batch {
  std::span<const float> images;
  std::span<const std::int32_t> labels;
};

struct CompileOptions {
  /// Images of a full batch; a smaller one may be evaluated, never trained on.
  std::size_t batch = 128;
  bool training = true;        ///< false: forward only, about half the memory
  bool deterministic = false;  ///< pins every choice that timing could make
};

/// What evaluate() counts over one batch.
struct Evaluation {
  double loss_sum = 0;  ///< sum over images of the cross entropy
  /// Images whose largest logit (of equals, the first) is not the label's.
  std::uint64_t errors = 0;
  std::uint64_t images = 0;
};

/// A Program compiled for one device and batch size. After compile() nothing of ours allocates.
class Executable {
 public:
  virtual ~Executable() = default;
  /// Loss (mean over the batch) and gradient of one full batch.
  /// @param x [P] parameters, @param g [P] the gradient, overwritten; padding is written as zero
  /// @param seed  of this step's dropout masks
  virtual double train_step(ConstVector x, Vector g, const Batch& batch, std::uint64_t seed) = 0;
  /// @param batch  1 to CompileOptions::batch images
  virtual Evaluation evaluate(ConstVector x, const Batch& batch) = 0;
  /// The logits of the last evaluate() or train_step(): [n, classes] f32 in host memory, valid
  /// until the next call.
  virtual std::span<const float> logits() = 0;
  virtual std::size_t activation_bytes() const = 0;
};

struct DeviceOptions {
  unsigned threads = 1;  ///< cores one Executable may use
};

class Device {
 public:
  virtual ~Device() = default;
  /// One line for people: "CPU: AMD EPYC, AVX-512, oneDNN 2.6.3, 1 thread".
  virtual std::string description() const = 0;
  virtual const VectorMath& math() const = 0;  ///< f32
  virtual Result<std::unique_ptr<DeviceMemory>> allocate(std::size_t bytes) = 0;
  /// @return an error that names the operation that does not fit or cannot be run here
  virtual Result<std::unique_ptr<Executable>> compile(const Program& program,
                                                      const CompileOptions& options) = 0;
};

/// Opens a backend: "cpu", "reference", or any NAME whose shared object libpaceline_NAME.so is
/// found beside the program, in its ../lib or on the library path, and exports
/// `paceline_open_device`.
/// @return an error that says which file was looked for and why it could not be used
Result<std::unique_ptr<Device>> open_device(std::string_view name, const DeviceOptions& options);

struct BackendStatus {
  std::string name;
  bool usable = false;
  std::string detail;  ///< the device's description, or why it cannot be used
};
/// Every backend that this build knows of, tried; for `paceline doctor`.
std::vector<BackendStatus> backends();

/// The symbol that a backend's shared object exports, with C linkage, under the name
/// `paceline_open_device`. It returns a device or leaves the reason in *error.
using OpenDeviceFunction = Device* (*)(const DeviceOptions* options, std::string* error);

}  // namespace paceline
