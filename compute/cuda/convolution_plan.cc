#include "paceline/compute/cuda/convolution_plan_internal.h"

#include <mutex>
#include <shared_mutex>
#include <algorithm>
#include <array>
#include <utility>

#include "paceline/compute/cuda/cuda_error_internal.h"

namespace paceline::cuda {
namespace {

constexpr std::int64_t kX = 'x', kW = 'w', kY = 'y';  // the tensors' ids
constexpr std::int64_t kAlignmentBytes = 16;

using Four = std::array<std::int64_t, 4>;

template <class... Sizes>
Four four(Sizes... sizes) {
  return {static_cast<std::int64_t>(sizes)...};
}

/// cuDNN counts dimensions as N,C,H,W (O,I,H,W of weights); strides say that channels lie together.
Result<GraphDescriptor> make_tensor(const char* what, std::int64_t id, Scalar scalar,
                                    const Four& dimensions) {
  const auto [n, c, h, w] = dimensions;
  const Four strides = {h * w * c, 1, w * c, c};
  GraphDescriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, what);
  tensor
      .set(PACELINE_CUDNN_ATTRIBUTE(TENSOR_DATA_TYPE),
           scalar == Scalar::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT)
      .set(PACELINE_CUDNN_ATTRIBUTE(TENSOR_DIMENSIONS), dimensions)
      .set(PACELINE_CUDNN_ATTRIBUTE(TENSOR_STRIDES), strides)
      .set(PACELINE_CUDNN_ATTRIBUTE(TENSOR_UNIQUE_ID), id)
      .set(PACELINE_CUDNN_ATTRIBUTE(TENSOR_BYTE_ALIGNMENT), kAlignmentBytes);
  PACELINE_TRYV(tensor.finalize());
  return tensor;
}

Result<GraphDescriptor> make_convolution(const ConvolutionShape& shape) {
  const auto both = [](std::size_t value) {
    const auto v = static_cast<std::int64_t>(value);
    return std::array<std::int64_t, 2>{v, v};
  };
  GraphDescriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "convolution");
  convolution.set(PACELINE_CUDNN_ATTRIBUTE(CONVOLUTION_SPATIAL_DIMS), std::int64_t{2})
      .set(PACELINE_CUDNN_ATTRIBUTE(CONVOLUTION_COMP_TYPE), CUDNN_DATA_FLOAT)
      .set(PACELINE_CUDNN_ATTRIBUTE(CONVOLUTION_CONV_MODE), CUDNN_CROSS_CORRELATION)
      .set(PACELINE_CUDNN_ATTRIBUTE(CONVOLUTION_PRE_PADDINGS), both(shape.padding))
      .set(PACELINE_CUDNN_ATTRIBUTE(CONVOLUTION_POST_PADDINGS), both(shape.padding))
      .set(PACELINE_CUDNN_ATTRIBUTE(CONVOLUTION_FILTER_STRIDES), both(shape.stride))
      .set(PACELINE_CUDNN_ATTRIBUTE(CONVOLUTION_DILATIONS), both(1));
  PACELINE_TRYV(convolution.finalize());
  return convolution;
}

/// An operation's attributes: the same six of each pass, under names of its own.
struct OperationWords {
  cudnnBackendDescriptorType_t type;
  const char* what;
  GraphAttribute x, w, y, convolution, alpha, beta;
};
OperationWords words_of(ConvolutionPass pass) {
  switch (pass) {
    case ConvolutionPass::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              "forward convolution",
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_FORWARD_X),
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_FORWARD_W),
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_FORWARD_Y),
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_FORWARD_CONV_DESC),
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_FORWARD_ALPHA),
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_FORWARD_BETA)};
    case ConvolutionPass::backward_data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              "backward convolution (data)",
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_DATA_DX),
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_DATA_W),
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_DATA_DY),
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC),
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_DATA_ALPHA),
              PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_DATA_BETA)};
    case ConvolutionPass::backward_weights:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          "backward convolution (weights)",
          PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_FILTER_X),
          PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_FILTER_DW),
          PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_FILTER_DY),
          PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC),
          PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_FILTER_ALPHA),
          PACELINE_CUDNN_ATTRIBUTE(OPERATION_CONVOLUTION_BWD_FILTER_BETA)};
}

class CudnnPlan final : public ConvolutionPlan {
 public:
  CudnnPlan(std::shared_ptr<const ConvolutionGraph> graph, GraphDescriptor engine_config,
            GraphDescriptor plan, std::shared_ptr<CudnnHandle> handle, std::string name,
            std::size_t workspace_bytes, bool deterministic)
      : handle_(std::move(handle)),
        graph_(std::move(graph)),
        engine_config_(std::move(engine_config)),
        plan_(std::move(plan)),
        name_(std::move(name)),
        workspace_bytes_(workspace_bytes),
        deterministic_(deterministic) {}

  std::size_t workspace_bytes() const override { return workspace_bytes_; }
  bool deterministic() const override { return deterministic_; }
  std::string name() const override { return name_; }

  void run(cudaStream_t stream, void* x, void* w, void* y, void* workspace) override {
    PACELINE_CHECK(handle_ != nullptr, "a plan for a described GPU was run");
    handle_->use(stream);
    const Pointers pointers = {x, w, y, workspace};
    if (!pack_ || pointers != pointers_) bind(pointers);
    if (const auto status = cudnnBackendExecute(handle_->get(), plan_.get(), pack_->get());
        status != CUDNN_STATUS_SUCCESS)
      throw CudaError(cudnn_failure(status, "convolution plan " + name_).message);
  }

 private:
  using Pointers = std::array<void*, 4>;  ///< x, w, y, workspace

  /// Steps run on the same memory again and again: the pack is made anew for other addresses alone.
  void bind(const Pointers& pointers) {
    static constexpr std::array<std::int64_t, 3> kIds = {kX, kW, kY};
    GraphDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "variant pack");
    pack.set(PACELINE_CUDNN_ATTRIBUTE(VARIANT_PACK_UNIQUE_IDS), kIds)
        .set_pointers(PACELINE_CUDNN_ATTRIBUTE(VARIANT_PACK_DATA_POINTERS),
                      std::span(pointers).first<3>())
        .set_pointer(PACELINE_CUDNN_ATTRIBUTE(VARIANT_PACK_WORKSPACE), pointers[3]);
    if (const auto done = pack.finalize(); !done) throw CudaError(done.error().message);
    pack_ = std::move(pack);
    pointers_ = pointers;
  }

  // In the order of their making: a plan goes before what it was made of, the handle last.
  std::shared_ptr<CudnnHandle> handle_;
  std::shared_ptr<const ConvolutionGraph> graph_;
  GraphDescriptor engine_config_, plan_;
  std::string name_;
  std::size_t workspace_bytes_;
  bool deterministic_;
  std::optional<GraphDescriptor> pack_;
  Pointers pointers_{};
};

/// "eng34{k2=5,k13=1}", knobs by number.
Result<std::string> name_of(const GraphDescriptor& engine, const GraphDescriptor& engine_config) {
  PACELINE_TRY(const auto index, engine.get_integer(PACELINE_CUDNN_ATTRIBUTE(ENGINE_GLOBAL_INDEX)));
  PACELINE_TRY(const auto choices,
               engine_config.get_descriptors(PACELINE_CUDNN_ATTRIBUTE(ENGINECFG_KNOB_CHOICES),
                                             CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, "knob choice",
                                             CUDNN_KNOB_TYPE_COUNTS));
  std::vector<std::pair<int, std::int64_t>> knobs;
  for (const auto& choice : choices) {
    PACELINE_TRY(const auto type,
                 choice.get_knob_type(PACELINE_CUDNN_ATTRIBUTE(KNOB_CHOICE_KNOB_TYPE)));
    PACELINE_TRY(const auto value,
                 choice.get_integer(PACELINE_CUDNN_ATTRIBUTE(KNOB_CHOICE_KNOB_VALUE)));
    knobs.emplace_back(static_cast<int>(type), value);
  }
  std::ranges::sort(knobs);
  std::string name = fmt::format("eng{}{{", index);
  for (const auto& [type, value] : knobs)
    name += fmt::format("{}k{}={}", name.ends_with('{') ? "" : ",", type, value);
  return name + "}";
}

}  // namespace

Result<std::shared_ptr<CudnnHandle>> CudnnHandle::make() {
  cudnnHandle_t handle = nullptr;
  if (const auto status = cudnnCreate(&handle); status != CUDNN_STATUS_SUCCESS)
    return cudnn_failure(status, "cuDNN's handle");
  return std::shared_ptr<CudnnHandle>(new CudnnHandle(handle));
}

CudnnHandle::~CudnnHandle() {
  const std::unique_lock alone(capture_mutex());
  cudnnDestroy(handle_);
}

void CudnnHandle::use(cudaStream_t stream) {
  if (stream == stream_) return;
  if (const auto status = cudnnSetStream(handle_, stream); status != CUDNN_STATUS_SUCCESS)
    throw CudaError(cudnn_failure(status, "cudnnSetStream").message);
  stream_ = stream;
}

Result<std::shared_ptr<const ConvolutionGraph>> ConvolutionGraph::make(
    const ConvolutionShape& shape, ConvolutionPass pass, const PlanTarget& target) {
  PACELINE_TRY(auto x,
               make_tensor("tensor x", kX, shape.scalar,
                           four(shape.images, shape.in_channels, shape.in_height, shape.in_width)));
  PACELINE_TRY(
      auto w, make_tensor("tensor w", kW, shape.scalar,
                          four(shape.out_channels, shape.in_channels, shape.kernel, shape.kernel)));
  PACELINE_TRY(auto y, make_tensor("tensor y", kY, shape.scalar,
                                   four(shape.images, shape.out_channels, shape.out_height(),
                                        shape.out_width())));
  PACELINE_TRY(auto convolution, make_convolution(shape));

  const OperationWords words = words_of(pass);
  GraphDescriptor operation(words.type, words.what);
  operation.set(words.x, x)
      .set(words.w, w)
      .set(words.y, y)
      .set(words.convolution, convolution)
      .set(words.alpha, 1.0F)
      .set(words.beta, 0.0F);
  PACELINE_TRYV(operation.finalize());

  GraphDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "operation graph");
  graph.set(PACELINE_CUDNN_ATTRIBUTE(OPERATIONGRAPH_OPS), operation);
  if (target.handle != nullptr)
    graph.set(PACELINE_CUDNN_ATTRIBUTE(OPERATIONGRAPH_HANDLE), target.handle->get());
  PACELINE_TRYV(graph.finalize());
  return std::make_shared<const ConvolutionGraph>(
      ConvolutionGraph{std::move(x), std::move(w), std::move(y), std::move(convolution),
                       std::move(operation), std::move(graph)});
}

Result<std::unique_ptr<ConvolutionPlan>> make_plan(std::shared_ptr<const ConvolutionGraph> graph,
                                                   GraphDescriptor engine_config,
                                                   const PlanDemands& demands,
                                                   const PlanTarget& target) {
  PACELINE_TRY(const auto engines,
               engine_config.get_descriptors(PACELINE_CUDNN_ATTRIBUTE(ENGINECFG_ENGINE),
                                             CUDNN_BACKEND_ENGINE_DESCRIPTOR, "engine", 1));
  if (engines.empty()) return fail(std::errc::not_supported, "an engine config without an engine");
  PACELINE_TRY(const auto notes,
               engines[0].get_notes(PACELINE_CUDNN_ATTRIBUTE(ENGINE_NUMERICAL_NOTE)));
  PACELINE_TRY(auto name, name_of(engines[0], engine_config));

  const auto noted = [&](cudnnBackendNumericalNote_t note) {
    return std::ranges::find(notes, note) != notes.end();
  };
  const bool deterministic = !noted(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
  if (demands.deterministic && !deterministic)
    return fail(std::errc::not_supported, "{} is not deterministic", name);
  if (noted(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION))
    return fail(std::errc::not_supported, "{} adds up in fewer bits than f32's", name);
  if (!demands.tensor_cores &&
      (noted(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) || noted(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)))
    return fail(std::errc::not_supported, "{} rounds f32 factors", name);

  GraphDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "execution plan");
  plan.set(PACELINE_CUDNN_ATTRIBUTE(EXECUTION_PLAN_ENGINE_CONFIG), engine_config);
  if (target.handle != nullptr)
    plan.set(PACELINE_CUDNN_ATTRIBUTE(EXECUTION_PLAN_HANDLE), target.handle->get());
  else
    plan.set(PACELINE_CUDNN_ATTRIBUTE(EXECUTION_PLAN_DEVICEPROP), *target.device);
  PACELINE_TRYV(plan.finalize());
  PACELINE_TRY(const auto bytes,
               plan.get_integer(PACELINE_CUDNN_ATTRIBUTE(EXECUTION_PLAN_WORKSPACE_SIZE)));
  return std::unique_ptr<ConvolutionPlan>(std::make_unique<CudnnPlan>(
      std::move(graph), std::move(engine_config), std::move(plan), target.handle, std::move(name),
      static_cast<std::size_t>(bytes), deterministic));
}

}  // namespace paceline::cuda
