// What the tests of devices run on: a device in one precision, its vectors (which only the device's own algebra may
// touch), and how near two results must be. The CPU is a subject, too: it proves the tests where there is no GPU.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "compute/small_program.h"

namespace paceline::test {

struct Subject {
  const char* device = "cpu";
  Precision precision = Precision::f32;
};
/// "cuda_bf16"
std::string name_of(const Subject& subject);
inline void PrintTo(const Subject& subject, std::ostream* out) { *out << name_of(subject); }
/// The CPU in f32, CUDA in each precision.
std::vector<Subject> subjects();

/// PACELINE_TEST_SEED; without it a fresh one for a GPU and 0 for the CPU. The same in all of a process.
std::uint64_t input_seed(const Subject& subject);

/// @throws std::runtime_error with the device's reason, which fails a test and not its program
std::unique_ptr<Executable> compiled(Device& device, const Program& program,
                                     const CompileOptions& options);

/// [count] f32 of a device, with 16 elements past its end that nobody may write.
class DeviceVector {
 public:
  static constexpr std::size_t kPastTheEnd = 16;
  DeviceVector(Device& device, const std::vector<float>& values);
  /// Poisoned: each element is NaN.
  DeviceVector(Device& device, std::size_t count);
  Vector view() { return {memory_->data(), count_}; }
  void assign(const std::vector<float>& values);
  /// A copy in host memory; fails the test when something was written past the end.
  std::vector<float> values() const;

 private:
  Device* device_;
  std::size_t count_;
  std::unique_ptr<DeviceMemory> memory_;
};

/// What a training step left.
struct Step {
  double loss = 0;
  std::vector<float> logits, gradient, buffers;
};
/// @param buffers  before the step
Step train(Device& device, Executable& executable, const std::vector<float>& x,
           const std::vector<float>& buffers, const Batch& batch, std::uint64_t seed);

/// How far from the reference a result may be: `relative` of its norm, and `of_nearby` times what the reference itself
/// makes of inputs that are off by `nearby`, relative to each element.
struct Tolerance {
  double relative = 0, of_nearby = 0, nearby = 0;
};
Tolerance tolerance_of(Precision precision);
/// Each element off by up to the precision's `nearby`, drawn anew for each `draw`.
std::vector<float> nearby(std::vector<float> values, double relative, std::uint64_t draw);

double norm(std::span<const float> values);
double distance(std::span<const float> a, std::span<const float> b);
double cosine(std::span<const float> a, std::span<const float> b);

/// Collects what is too far from the reference, so that a caller may draw other inputs before it complains.
class Comparison {
 public:
  explicit Comparison(const Tolerance& tolerance) : tolerance_(tolerance) {}
  /// Demands ||got - wanted|| <= relative max(||wanted||, scale) + of_nearby max ||around - wanted||, all finite.
  /// @param around  what the reference makes of nearby inputs
  /// @param scale   where `wanted` may be tiny itself: the norm of what it is part of
  void near(std::span<const float> got, std::span<const float> wanted,
            const std::vector<std::vector<float>>& around, double scale, const std::string& what);
  /// The same of every tensor of a gradient by itself. Its scale is a tenth of its operation's norm, and a
  /// hundredth of the whole gradient's; a bias before a BatchNorm has a gradient that is nothing but rounding:
  /// its operation's norm.
  void gradient_near(const Program& program, std::span<const float> got,
                     std::span<const float> wanted, const std::vector<std::vector<float>>& around);
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  Tolerance tolerance_;
  std::vector<std::string> complaints_;
};

/// Mean over the batch of the smoothed cross entropy, from logits in double.
double loss_of(std::span<const float> logits, std::span<const std::int32_t> labels,
               double label_smoothing);
std::uint64_t errors_of(std::span<const float> logits, std::span<const std::int32_t> labels);

/// @return null where it cannot be opened: the test is skipped, and `reason` says why
std::unique_ptr<Device> open_subject(const Subject& subject, std::string& reason);

}  // namespace paceline::test
