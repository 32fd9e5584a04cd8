// Makes a Plan (plan_internal.h): walks the program forward, then back, and hands out memory on the way.
// Used once, by make_plan().
#pragma once

#include <string>

#include "paceline/compute/cuda/cuda_error_internal.h"
#include "paceline/compute/cuda/plan_internal.h"
#include "paceline/compute/cuda/pointwise_internal.h"
#include "paceline/compute/cuda/pooling_internal.h"
#include "paceline/compute/fusion_internal.h"

namespace paceline::cuda {

/// Element `offset` of a flat vector of Scalars.
inline const void* element(const void* vector, std::size_t offset, Scalar scalar) {
  return static_cast<const std::byte*>(vector) + offset * bytes_of(scalar);
}
inline void* element(void* vector, std::size_t offset, Scalar scalar) {
  return static_cast<std::byte*>(vector) + offset * bytes_of(scalar);
}

class Planner {
 public:
  Planner(const Program& program, const CompileOptions& options, Precision precision,
          const PlanMakers& makers);
  Result<std::unique_ptr<Plan>> make();

 private:
  /// What a step is called in a profile.
  struct Work {
    std::size_t operation = 0;
    std::string pass, how;
    double flops = 0, bytes = 0;
  };
  /// A convolution's shape as it is multiplied: with channels filled up.
  struct Site {
    ConvolutionShape shape;
    bool fills_in = false, fills_out = false;
  };
  using Run = std::function<void(const Bound&)>;

  // planner.cc: memory and steps
  MemoryId memory(std::size_t bytes);
  /// The step being planned reads or writes these.
  void use(std::initializer_list<MemoryId> memories);
  void step(Work work, Run run);
  void input();
  void loss();
  /// The gradient of an activation, to be written by `write(target, add)` in the step being planned.
  /// @param adds  whether `write` can add to what other readers have left
  void into_gradient(Work work, std::size_t activation, bool adds,
                     std::initializer_list<MemoryId> reads,
                     std::function<void(const Bound&, void* target, bool add)> write);
  MemoryId gradient(std::size_t activation);
  double bytes(std::size_t activation) const;
  std::size_t elements(std::size_t activation) const;
  std::size_t rows(std::size_t activation) const;
  void find_gaps();

  // planner_convolutions.cc
  Site site(std::size_t k) const;
  MemoryId filled_input(std::size_t k, const Site& site);
  MemoryId filled_weights(std::size_t k, const Site& site);
  Result<ConvolutionPlan*> convolution(std::size_t k, const Site& site, ConvolutionPass pass);
  Result<> convolution_forward(std::size_t k);
  Result<> convolution_backward(std::size_t k);

  // planner_layers.cc
  Result<> forward(std::size_t k);
  Result<> backward(std::size_t k);
  Result<> linear_forward(std::size_t k);
  Result<> linear_backward(std::size_t k);
  void batch_norm_forward(std::size_t k);
  void batch_norm_backward(std::size_t k);

  // planner_operations.cc: what has no weights
  void operation_forward(std::size_t k);
  void operation_backward(std::size_t k);
  PoolShape mean_shape(std::size_t k) const;
  ShortcutShape shortcut_shape(std::size_t k) const;

  template <class Kind>
  const Kind& kind(std::size_t k) const {
    return std::get<Kind>(program_.operations[k].kind);
  }
  const Shape& in(std::size_t k) const {
    return program_.activations[program_.operations[k].input];
  }
  const Shape& out(std::size_t k) const {
    return program_.activations[program_.operations[k].output];
  }
  std::size_t scalar_bytes() const { return bytes_of(scalar_); }

  const Program& program_;
  const CompileOptions options_;
  const Precision precision_;
  const PlanMakers& makers_;
  const Scalar scalar_;
  const Fusion fusion_;
  const std::size_t channel_multiple_;  ///< of convolutions
  std::unique_ptr<Plan> plan_;
  std::vector<Lifetime> lives_;
  std::vector<bool> used_;
  std::size_t now_ = 0;  ///< the step being planned
  bool backwards_ = false;
  std::vector<MemoryId> activations_;
  std::vector<std::optional<MemoryId>> gradients_;
  std::vector<bool> gradient_written_;
  std::size_t input_channels_ = 0;  ///< of activation 0 as it is stored
  struct Kept {                     ///< from an operation's forward step for its backward step
    MemoryId statistics = 0;        ///< BatchNorm: mean, then 1 / deviation
    MemoryId winners = 0;           ///< MaxPool
    Linear* linear = nullptr;
  };
  std::vector<Kept> kept_;  ///< by operation
};

}  // namespace paceline::cuda
