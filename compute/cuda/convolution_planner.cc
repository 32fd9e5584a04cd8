#include <algorithm>
#include <set>
#include <utility>

#include "paceline/compute/convolution_choice_internal.h"
#include "paceline/compute/cuda/convolution_plan_internal.h"
#include "paceline/compute/cuda/cuda_error_internal.h"
#include "paceline/compute/cuda/replay_clock_internal.h"

namespace paceline::cuda {
namespace {

constexpr std::size_t kTimed = 8;  // plans that choose() compares
constexpr std::size_t kMostConfigs = 128;
/// Above this a plan's workspace costs more than its speed is worth, while there are others.
constexpr std::size_t kWorkspaceBytes = std::size_t{1} << 30;

bool possible(const ConvolutionShape& s) {
  return s.images > 0 && s.in_channels > 0 && s.out_channels > 0 && s.in_height > 0 &&
         s.in_width > 0 && s.kernel > 0 && s.stride > 0 &&
         std::min(s.in_height, s.in_width) + 2 * s.padding >= s.kernel;
}

/// The handle leaves a stream before the stream goes.
class Return {
 public:
  explicit Return(CudnnHandle& handle) : handle_(handle) {}
  ~Return() {
    try {
      handle_.use(cudaStreamPerThread);
    } catch (const CudaError&) {  // the next run asks for its stream again, and tells
    }
  }
  Return(const Return&) = delete;
  Return& operator=(const Return&) = delete;

 private:
  CudnnHandle& handle_;
};

using Plans = std::vector<std::unique_ptr<ConvolutionPlan>>;

/// Plans from a heuristic's proposals, in its order; why the first that failed did.
struct Gathered {
  Plans plans, large;
  std::set<std::string> names;
  std::optional<Error> failure;
};

class CudnnPlanner final : public ConvolutionPlanner {
 public:
  explicit CudnnPlanner(GraphDescriptor device) : device_(std::move(device)) {
    target_.device = &*device_;
  }
  CudnnPlanner(std::shared_ptr<CudnnHandle> handle, const std::string& cache_file,
               std::string machine) {
    target_.handle = std::move(handle);
    choice_.emplace(cache_file, std::move(machine), ConvolutionChoice::Timing::in_turn);
  }

  Result<Plans> plans(const ConvolutionShape& shape, ConvolutionPass pass, bool deterministic,
                      std::size_t most) override;
  Result<std::unique_ptr<ConvolutionPlan>> choose(const ConvolutionShape& shape,
                                                  ConvolutionPass pass,
                                                  bool deterministic) override;

 private:
  Result<> gather(Gathered& to, const std::shared_ptr<const ConvolutionGraph>& graph,
                  cudnnBackendHeurMode_t mode, const PlanDemands& demands, std::size_t most);
  std::size_t fastest(const ConvolutionShape& shape, const std::string& what, Plans& plans);

  std::optional<GraphDescriptor> device_;
  std::optional<ConvolutionChoice> choice_;
  PlanTarget target_;
};

Result<> CudnnPlanner::gather(Gathered& to, const std::shared_ptr<const ConvolutionGraph>& graph,
                              cudnnBackendHeurMode_t mode, const PlanDemands& demands,
                              std::size_t most) {
  GraphDescriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "heuristic");
  heuristic.set(PACELINE_CUDNN_ATTRIBUTE(ENGINEHEUR_OPERATION_GRAPH), graph->graph)
      .set(PACELINE_CUDNN_ATTRIBUTE(ENGINEHEUR_MODE), mode);
  if (target_.device != nullptr)
    heuristic.set(PACELINE_CUDNN_ATTRIBUTE(ENGINEHEUR_DEVICEPROP), *target_.device);
  PACELINE_TRYV(heuristic.finalize());
  PACELINE_TRY(auto configs, heuristic.get_descriptors(PACELINE_CUDNN_ATTRIBUTE(ENGINEHEUR_RESULTS),
                                                       CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                                                       "engine config", kMostConfigs));
  for (auto& config : configs) {
    if (to.plans.size() >= most) break;
    auto plan = make_plan(graph, std::move(config), demands, target_);
    if (!plan) {
      if (!to.failure) to.failure = std::move(plan).error();
    } else if (to.names.insert(plan.value()->name()).second) {
      (plan.value()->workspace_bytes() > kWorkspaceBytes ? to.large : to.plans)
          .push_back(std::move(plan).value());
    }
  }
  return success();
}

Result<Plans> CudnnPlanner::plans(const ConvolutionShape& shape, ConvolutionPass pass,
                                  bool deterministic, std::size_t most) {
  if (!possible(shape))
    return fail(std::errc::invalid_argument, "{}: the kernel does not fit into the padded image",
                describe(shape, pass));
  const auto because = [&](Error error) {
    error.message =
        fmt::format("{}: cuDNN {} has no plan{}: {}", describe(shape, pass), cudnnGetVersion(),
                    deterministic ? " that is deterministic" : "", error.message);
    return error;
  };
  auto graph = ConvolutionGraph::make(shape, pass, target_);
  if (!graph) return because(std::move(graph).error());
  const PlanDemands demands = {.tensor_cores = shape.scalar == Scalar::bf16 || shape.tf32,
                               .deterministic = deterministic};
  Gathered gathered;
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    if (gathered.plans.size() >= most) break;
    if (auto done = gather(gathered, graph.value(), mode, demands, most);
        !done && !gathered.failure)
      gathered.failure = std::move(done).error();
  }
  if (gathered.plans.empty()) gathered.plans = std::move(gathered.large);
  if (gathered.plans.empty())
    return because(
        gathered.failure.value_or(fail(std::errc::not_supported, "nothing was proposed")));
  if (gathered.plans.size() > most) gathered.plans.resize(most);
  return std::move(gathered.plans);
}

Result<std::unique_ptr<ConvolutionPlan>> CudnnPlanner::choose(const ConvolutionShape& shape,
                                                              ConvolutionPass pass,
                                                              bool deterministic) {
  if (!choice_)
    return fail(std::errc::not_supported, "{}: nothing can be timed on a GPU that is described",
                describe(shape, pass));
  PACELINE_TRY(auto found, plans(shape, pass, deterministic, deterministic ? 1 : kTimed));
  std::size_t best = 0;
  try {
    if (!deterministic) best = fastest(shape, describe(shape, pass), found);
  } catch (const CudaError& error) {
    return fail(std::errc::io_error, "{}: timing: {}", describe(shape, pass), error.what());
  }
  return std::move(found[best]);
}

/// The position of the fastest in `plans`, from which those go that cannot run. @throws CudaError
std::size_t CudnnPlanner::fastest(const ConvolutionShape& shape, const std::string& what,
                                  Plans& plans) {
  std::vector<std::string> names;
  for (const auto& plan : plans) names.push_back(plan->name());
  auto chosen = choice_->remembered(what, names);
  if (!chosen) {
    ReplayClock clock;
    const Return from_its_stream(*target_.handle);
    const auto make = [&](std::size_t bytes) { return TrialMemory(clock.stream(), bytes); };
    const std::size_t bytes = bytes_of(shape.scalar);
    const auto x =
        make(bytes * shape.images * shape.in_height * shape.in_width * shape.in_channels);
    const auto w =
        make(bytes * shape.out_channels * shape.kernel * shape.kernel * shape.in_channels);
    const auto y =
        make(bytes * shape.images * shape.out_height() * shape.out_width() * shape.out_channels);
    std::size_t most = 0;
    for (const auto& plan : plans) most = std::max(most, plan->workspace_bytes());
    const auto workspace = make(most);

    std::optional<CudaError> failure;
    std::erase_if(plans, [&](const auto& plan) {
      try {
        clock.capture([&](cudaStream_t stream) {
          plan->run(stream, x.get(), w.get(), y.get(), workspace.get());
        });
        return false;
      } catch (const CudaError& error) {
        if (!failure) failure = error;
        return true;
      }
    });
    if (plans.empty()) throw *failure;
    names.clear();
    for (const auto& plan : plans) names.push_back(plan->name());
    chosen = choice_->fastest(what, names, [&](std::size_t k) { return clock.seconds(k); });
  }
  return static_cast<std::size_t>(std::ranges::find(names, *chosen) - names.begin());
}

}  // namespace

Result<std::unique_ptr<ConvolutionPlanner>> make_convolution_planner(
    const std::string& cache_file) {
  int device = 0;
  cudaDeviceProp properties{};
  auto status = cudaGetDevice(&device);
  if (status == cudaSuccess) status = cudaGetDeviceProperties(&properties, device);
  if (status != cudaSuccess) {
    static_cast<void>(cudaGetLastError());  // it would stay for the next that asks
    return fail(std::errc::no_such_device, "no GPU to plan convolutions for: {}",
                cudaGetErrorString(status));
  }
  PACELINE_TRY(auto handle, CudnnHandle::make());
  return std::unique_ptr<ConvolutionPlanner>(std::make_unique<CudnnPlanner>(
      std::move(handle), cache_file,
      fmt::format("{}, cuDNN {}", properties.name, cudnnGetVersion())));
}

Result<std::unique_ptr<ConvolutionPlanner>> make_convolution_planner_for(
    const std::string& device_json) {
  GraphDescriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "GPU's description");
  device.set_text(PACELINE_CUDNN_ATTRIBUTE(DEVICEPROP_JSON_REPRESENTATION), device_json);
  PACELINE_TRYV(device.finalize());
  return std::unique_ptr<ConvolutionPlanner>(std::make_unique<CudnnPlanner>(std::move(device)));
}

std::string describe(const ConvolutionShape& shape, ConvolutionPass pass) {
  const bool fits = possible(shape);
  const char* const scalar = shape.scalar == Scalar::bf16 ? "bf16" : shape.tf32 ? "tf32" : "f32";
  const char* const direction = pass == ConvolutionPass::forward         ? "forward"
                                : pass == ConvolutionPass::backward_data ? "backward data"
                                                                         : "backward weights";
  return fmt::format("conv {0}x{0}{1} pad {2}, {3}x{4}x{5}x{6} -> {3}x{7}x{8}x{9}, {10}, {11}",
                     shape.kernel, shape.stride == 1 ? "" : fmt::format("/{}", shape.stride),
                     shape.padding, shape.images, shape.in_height, shape.in_width,
                     shape.in_channels, fits ? shape.out_height() : 0, fits ? shape.out_width() : 0,
                     shape.out_channels, scalar, direction);
}

}  // namespace paceline::cuda
