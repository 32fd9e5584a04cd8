// How one pass of a convolution becomes an execution plan: the graph of its one operation, then the
// plan of an engine's configuration. convolution_planner.cc asks for both.
#pragma once

#include <memory>
#include <span>

#include "paceline/compute/cuda/convolution_internal.h"
#include "paceline/compute/cuda/graph_descriptor_internal.h"

namespace paceline::cuda {

/// cuDNN's handle of one thread, shared by its planner and plans; destroyed with the last of them.
class CudnnHandle {
 public:
  /// For the calling thread's current GPU.
  static Result<std::shared_ptr<CudnnHandle>> make();
  ~CudnnHandle();
  CudnnHandle(const CudnnHandle&) = delete;
  CudnnHandle& operator=(const CudnnHandle&) = delete;

  cudnnHandle_t get() const { return handle_; }
  /// What is executed next goes to `stream`. @throws CudaError
  void use(cudaStream_t stream);

 private:
  explicit CudnnHandle(cudnnHandle_t handle) : handle_(handle) {}
  cudnnHandle_t handle_;
  cudaStream_t stream_ = nullptr;  ///< a handle begins with the default stream
};

/// Where plans are to run: exactly one of the two. Borrowed.
struct PlanTarget {
  std::shared_ptr<CudnnHandle> handle;      ///< a GPU
  const GraphDescriptor* device = nullptr;  ///< or its description: such plans cannot run
};

/// A pass as cuDNN's graph, with all that it refers to.
struct ConvolutionGraph {
  GraphDescriptor x, w, y, convolution, operation, graph;

  static Result<std::shared_ptr<const ConvolutionGraph>> make(const ConvolutionShape& shape,
                                                              ConvolutionPass pass,
                                                              const PlanTarget& target);
};

/// What the plan's arithmetic has to keep to.
struct PlanDemands {
  bool tensor_cores = false;  ///< allowed: bf16, and f32 where tf32 may round the factors
  bool deterministic = false;
};

/// @return an error when cuDNN cannot finalise it, or when it breaks a demand
Result<std::unique_ptr<ConvolutionPlan>> make_plan(std::shared_ptr<const ConvolutionGraph> graph,
                                                   GraphDescriptor engine_config,
                                                   const PlanDemands& demands,
                                                   const PlanTarget& target);

}  // namespace paceline::cuda
