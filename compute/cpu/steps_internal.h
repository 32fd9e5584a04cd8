// The entries of a compiled program's flat lists: a oneDNN primitive or one of our own loops, with
// everything bound when compiled. Running one allocates nothing of ours. One thread calls; loops of
// our own share the work among as many as that thread's OpenMP count says, with the same bits for any
// count.
#pragma once

#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>
#include <span>
#include <utility>
#include <vector>

#include "paceline/compute/device.h"

namespace paceline {

/// What is new in each pass.
struct Pass {
  dnnl_stream_t stream = nullptr;
  const float* x = nullptr;  ///< [P]
  float* buffers = nullptr;  ///< [B]; written to with batch_statistics alone
  float* g = nullptr;        ///< [P]; backward only
  std::uint64_t seed = 0;
  bool dropout = false;
  bool batch_statistics = false;  ///< BatchNorm's: the batch's, or the running ones
  double share = -1;              ///< of the batch in the running statistics; negative: BatchNorm's
};

class Step {
 public:
  virtual ~Step() = default;
  virtual void run(const Pass& pass) = 0;
};

/// A primitive with its arguments, kept in the form that needs no conversion when it runs.
class PrimitiveStep final : public Step {
 public:
  PrimitiveStep(dnnl::primitive primitive, std::vector<std::pair<int, dnnl::memory>> arguments);
  void run(const Pass& pass) override;

 private:
  dnnl::primitive primitive_;
  std::vector<std::pair<int, dnnl::memory>> memories_;
  std::vector<dnnl_exec_arg_t> arguments_;
};

/// y = x * mask, or a copy where nothing is dropped; also the way back, with gradients for x and y.
class DropoutStep final : public Step {
 public:
  /// @param x, y  f32 in canonical element order, of one size
  DropoutStep(dnnl::memory x, dnnl::memory y, std::size_t operation, double probability);
  void run(const Pass& pass) override;

 private:
  dnnl::memory x_, y_;
  std::size_t count_;
  std::size_t operation_;
  double probability_;
};

/// The loss over the first labels.size() rows, in one go with its gradient.
/// @param logits     [n, classes]
/// @param smoothing  of the gradient's loss; what errors count never sees it
/// @param dlogits    the gradient of the *mean* loss, [n, classes]; empty: not wanted
/// @return with dlogits, loss_sum is the smoothed loss
Evaluation softmax_cross_entropy(std::span<const float> logits, std::size_t classes,
                                 std::span<const std::int32_t> labels, double smoothing,
                                 std::span<float> dlogits);

}  // namespace paceline
