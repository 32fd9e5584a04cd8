// Turns a Program into a Plan: walks the operations forwards, then backwards, and writes the lists.
// oneDNN chooses the formats of convolutions; reorders stand only where formats differ. Weights are
// read from the flat vector, and gradients written into it, directly where our layout will do.
//   PL-1 Values are never changed once written (but for the ReLU that is part of a primitive).
//   PL-2 A gradient may arrive in parts, one from each reader of the activation; a part is
//        overwritten only when no other activation has it, too.
// May throw dnnl::error. One thread.
#pragma once

#include <functional>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "paceline/compute/cpu/batch_norm_internal.h"
#include "paceline/compute/fusion_internal.h"
#include "paceline/compute/cpu/plan_internal.h"
#include "paceline/compute/cpu/pooling_windows_internal.h"
#include "paceline/compute/cpu/winograd_internal.h"

namespace paceline {

class Planner {
 public:
  Planner(const Program& program, const CompileOptions& options, const dnnl::engine& engine,
          ConvolutionChoice& choice, const std::string& convolution);
  Result<std::unique_ptr<Plan>> run() &&;

 private:
  using memory = dnnl::memory;
  using Arguments = std::vector<std::pair<int, memory>>;
  using Steps = std::vector<PlannedStep>;

  class Trial;

  /// What an operation's way back needs of its way there.
  struct Site {
    std::optional<dnnl::convolution_forward::primitive_desc> convolution;
    std::optional<dnnl::inner_product_forward::primitive_desc> linear;
    std::shared_ptr<BatchNormState> batch_norm;
    memory weight, mirrored_weight;
    memory winners;       ///< of a maximum
    bool masked = false;  ///< the pool behind it masks the gradient for its ReLU
  };
  /// A part of a gradient.
  struct Part {
    memory value;
    bool free = true;  ///< may be overwritten
  };
  /// What a step is called in a profile, and the work that it cannot do without.
  struct Work {
    std::size_t operation;
    const char* pass;
    std::string how;
    double flops = 0, bytes = 0;
  };

  const Operation& operation(std::size_t k) const { return program_.operations[k]; }
  const Shape& in(std::size_t k) const { return program_.activations[operation(k).input]; }
  const Shape& out(std::size_t k) const { return program_.activations[operation(k).output]; }
  const Fused& fused(std::size_t k) const { return fusion_.operations[k]; }
  memory& input(std::size_t k) { return values_[operation(k).input]; }
  /// What the operation writes, with all that is fused into it.
  memory& output(std::size_t k) { return values_[fused(k).output]; }
  bool learned_input(std::size_t k) const { return fusion_.learned[operation(k).input]; }
  dnnl::prop_kind direction() const {
    return options_.training ? dnnl::prop_kind::forward_training
                             : dnnl::prop_kind::forward_inference;
  }

  Result<> find_gaps();
  /// Runs `lower`, which adds operation k's steps; what it throws becomes an error that names it.
  template <class Lower>
  Result<> attempt(std::size_t k, Lower lower);

  // Steps and memory.
  void add(Steps& steps, std::unique_ptr<Step> step, const std::vector<memory>& used, Work work);
  void add(Steps& steps, const dnnl::primitive& primitive, const memory::desc& scratchpad,
           Arguments arguments, Work work);
  void reorder(std::size_t k, const memory& from, const memory& to, Steps& steps);
  /// `from` in the wanted format: itself, or a reordered copy, made once.
  memory as(std::size_t k, const memory& from, const memory::desc& wanted, Steps& steps);
  memory flat(std::vector<FlatTensor>& tensors, std::size_t offset, const memory::desc& desc);

  // Gradients of activations; `k` is the operation on whose behalf a step is added.
  void contribute(std::size_t activation, memory value, bool free = true);
  /// In the wanted format, parts summed.
  Part gradient(std::size_t k, std::size_t activation, const memory::desc& wanted);
  /// As gradient(), but left in up to two parts.
  std::vector<Part> gradient_parts(std::size_t k, std::size_t activation,
                                   const memory::desc& wanted);
  Part in_format(std::size_t k, Part part, const memory::desc& wanted);
  Part sum(std::size_t k, const Part& a, const Part& b);
  /// The way back through a ReLU that wrote `y`: no value before a ReLU is kept.
  Part masked(std::size_t k, Part dy, const memory& y);

  // Operations.
  void forward(std::size_t k, const Convolution& op);
  void backward(std::size_t k, const Convolution& op);
  void forward(std::size_t k, const Linear& op);
  void backward(std::size_t k, const Linear& op);
  void forward(std::size_t k, const BatchNorm& op);
  void backward(std::size_t k, const BatchNorm& op);
  void forward(std::size_t k, const Relu& op);
  void backward(std::size_t k, const Relu& op);
  void forward(std::size_t k, const MaxPool& op);
  void backward(std::size_t k, const MaxPool& op);
  void forward(std::size_t k, const AveragePool& op);
  void backward(std::size_t k, const AveragePool& op);
  void forward(std::size_t k, const GlobalAveragePool& op);
  void backward(std::size_t k, const GlobalAveragePool& op);
  void forward(std::size_t k, const Dropout& op);
  void backward(std::size_t k, const Dropout& op);
  void forward(std::size_t k, const Add& op);
  void backward(std::size_t k, const Add& op);
  void forward(std::size_t k, const PaddedShortcut& op);
  void backward(std::size_t k, const PaddedShortcut& op);
  // The loss runs between the two lists.
  void forward(std::size_t, const SoftmaxCrossEntropy&) {}
  void backward(std::size_t, const SoftmaxCrossEntropy&) {}

  /// A way to run a pass: from one activation, or gradient, to another; or, for the gradient of the
  /// weights, from the input with the gradient of the output.
  struct Way {
    std::string name;
    memory::desc from, to;                   ///< the formats of the two
    dnnl::primitive_desc pd;                 ///< a primitive ...
    int from_word = 0, to_word = 0;          ///< ... and its words for the two
    bool mirrored = false;                   ///< its weights are
    std::optional<winograd::Tiling> tiling;  ///< instead of a primitive
  };
  static Way by_primitive(std::string name, dnnl::primitive_desc pd, int from, int to,
                          bool mirrored = false);
  /// Adds Winograd's way, if there is one, to ways that have the direct one.
  static void add_winograd(std::vector<Way>& ways, std::optional<winograd::Tiling> tiling);
  /// The ways of a convolution's pass; the direct one first.
  std::vector<Way> ways_forward(std::size_t k);
  std::vector<Way> ways_to_data(std::size_t k);
  std::vector<Way> ways_to_weights(std::size_t k);
  /// The pass and its shape, for ConvolutionChoice.
  std::string describe(std::size_t k, const char* pass) const;
  /// Adds the steps of a pass that takes `from`, which has the way's format.
  using Emit = std::function<void(const Way& way, const memory& from)>;
  /// The one of `ways` to use, of those that want the same formats as the first.
  const Way& choose(std::size_t k, const char* pass, const std::vector<Way>& ways,
                    const Emit& emit);
  /// Adds what the weights need, and the pass. @return what it writes
  memory run(std::size_t k, const char* pass, const Way& way, const memory& from, Steps& steps);
  void run_backward_weights(std::size_t k, const Way& way, const memory& src, const memory& dy);
  FlatOffsets offsets(std::size_t k, bool with_bias) const;
  /// The weights of operation k, with input and output channels exchanged and each kernel mirrored.
  memory mirrored_weight(std::size_t k, Steps& steps);
  memory::desc mirrored_desc(std::size_t k) const;
  /// The gradient before the ReLU that is part of operation k.
  Part gradient_before_relu(std::size_t k, const memory::desc& wanted);
  /// Of one pass, by the definition.
  double flops(std::size_t k) const;
  /// Those, and the pass's tensors, once each.
  Work winograd_work(std::size_t k, const char* pass, const Way& way) const;
  Work work(std::size_t k, const char* pass, const std::string& how,
            const dnnl::primitive_desc& pd) const;

  /// The operation before maximum k whose ReLU's mask k's way back applies, too; none: there is no
  /// such ReLU, or not for nothing.
  std::optional<std::size_t> masked_by(std::size_t k) const;
  void average(std::size_t k, const pooling::Windows& windows);
  void average_back(std::size_t k, const pooling::Windows& windows);

  const Program& program_;
  const CompileOptions& options_;
  const dnnl::engine& engine_;
  ConvolutionChoice& choice_;
  const std::string& convolution_;
  const std::size_t threads_;  // that will run the plan
  const Fusion fusion_;
  std::unique_ptr<Plan> plan_;
  std::vector<memory> values_;                     // by activation
  std::vector<std::vector<Part>> gradients_;       // by activation
  std::vector<Site> sites_;                        // by operation
  std::vector<std::pair<memory, memory>> copies_;  // what as() has reordered, and to what
  std::vector<float> trial_parameters_;            // a flat vector of zeros, and its gradient
};

}  // namespace paceline
