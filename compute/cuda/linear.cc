// cublasLt counts columns first. What is row-major [r, c] here is [c, r] there, so each product is
// asked for transposed, and D comes out in our order:
//   forward           y'  [out, rows] = W [out, in]   x'  [in, rows]
//   backward_data     dx' [in, rows]  = W' [in, out]  dz' [out, rows]
//   backward_weights  dW' [in, out]   = x' [in, rows] dz  [rows, out]
// where W is stored as [in, out], x as [in, rows], dz as [out, rows] of cublasLt's.
#include "paceline/compute/cuda/linear_internal.h"

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <vector>

#include "paceline/compute/cuda/cuda_error_internal.h"
#include "paceline/compute/cuda/replay_clock_internal.h"

namespace paceline::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
constexpr std::uint32_t kAlignmentBytes = 16;
constexpr int kTimed = 8;    // algorithms that are compared
constexpr int kRounds = 10;  // of timing them, in turn

/// @throws CudaError naming `what`
void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw CudaError(fmt::format("{}: {}", what, cublasLtGetStatusString(status)));
}

/// A matrix as it is stored, by cublasLt's count.
struct Stored {
  std::size_t rows, columns;
  bool transposed;  ///< the product takes it so
};

/// D = A B with the epilogue: one algorithm once it is planned.
class Product {
 public:
  Product(const char* name, const LinearShape& shape, Stored a, Stored b, Stored d, bool bias,
          bool relu);

  /// What the heuristic proposes, best first. @throws CudaError when it has nothing
  std::vector<cublasLtMatmulHeuristicResult_t> proposals(cublasLtHandle_t handle);
  void choose(const cublasLtMatmulHeuristicResult_t& chosen) { chosen_ = chosen; }
  std::size_t workspace_bytes() const { return chosen_.workspaceSize; }
  std::array<std::size_t, 3> bytes() const { return bytes_; }  ///< of A, B and D

  /// @throws CudaError
  void run(cublasLtHandle_t handle, cudaStream_t stream, const void* a, const void* b, void* d,
           const float* bias, void* workspace);

 private:
  void bias_at(const void* bias) {
    if (bias == bias_) return;
    check(cublasLtMatmulDescSetAttribute(&operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                         sizeof bias),
          name_);
    bias_ = bias;
  }

  const char* name_;
  cublasLtMatmulDescOpaque_t operation_{};
  cublasLtMatrixLayoutOpaque_t a_{}, b_{}, d_{};
  cublasLtMatmulHeuristicResult_t chosen_{};
  std::array<std::size_t, 3> bytes_;
  bool biased_;
  const void* bias_ = nullptr;
};

Product::Product(const char* name, const LinearShape& shape, Stored a, Stored b, Stored d,
                 bool bias, bool relu)
    : name_(name),
      bytes_{a.rows * a.columns * bytes_of(shape.scalar),
             b.rows * b.columns * bytes_of(shape.scalar),
             d.rows * d.columns * bytes_of(shape.scalar)},
      biased_(bias) {
  const cudaDataType type = shape.scalar == Scalar::bf16 ? CUDA_R_16BF : CUDA_R_32F;
  const bool tf32 = shape.scalar == Scalar::f32 && shape.tf32;
  check(cublasLtMatmulDescInit(
            &operation_, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
        name);
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, auto value) {
    check(cublasLtMatmulDescSetAttribute(&operation_, attribute, &value, sizeof value), name);
  };
  const auto operation = [](const Stored& matrix) -> std::int32_t {
    return matrix.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, operation(a));
  set(CUBLASLT_MATMUL_DESC_TRANSB, operation(b));
  set(CUBLASLT_MATMUL_DESC_EPILOGUE,
      static_cast<std::uint32_t>(bias && relu ? CUBLASLT_EPILOGUE_RELU_BIAS
                                 : bias       ? CUBLASLT_EPILOGUE_BIAS
                                 : relu       ? CUBLASLT_EPILOGUE_RELU
                                              : CUBLASLT_EPILOGUE_DEFAULT));
  // The heuristic reads an alignment from it, and nothing else.
  if (bias) bias_at(reinterpret_cast<const void*>(std::uintptr_t{kAlignmentBytes}));
  const auto lay_out = [&](cublasLtMatrixLayoutOpaque_t& layout, const Stored& matrix) {
    check(cublasLtMatrixLayoutInit(&layout, type, matrix.rows, matrix.columns,
                                   static_cast<std::int64_t>(matrix.rows)),
          name);
  };
  lay_out(a_, a);
  lay_out(b_, b);
  lay_out(d_, d);
}

std::vector<cublasLtMatmulHeuristicResult_t> Product::proposals(cublasLtHandle_t handle) {
  cublasLtMatmulPreferenceOpaque_t preference{};
  check(cublasLtMatmulPreferenceInit(&preference), name_);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value),
          name_);
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes});
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    prefer(attribute, kAlignmentBytes);
  // Sums that are split are added up in f32, in an order that the algorithm fixes; other schemes go
  // through D's type, or add in the order of arrival.
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE |
                                    CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));

  std::vector<cublasLtMatmulHeuristicResult_t> results(kTimed);
  int count = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle, &operation_, &a_, &b_, &d_, &d_, &preference, kTimed,
                                       results.data(), &count),
        name_);
  results.resize(static_cast<std::size_t>(count));
  std::erase_if(results, [](const auto& result) { return result.state != CUBLAS_STATUS_SUCCESS; });
  if (results.empty()) throw CudaError(fmt::format("{}: no algorithm", name_));
  return results;
}

void Product::run(cublasLtHandle_t handle, cudaStream_t stream, const void* a, const void* b,
                  void* d, const float* bias, void* workspace) {
  if (biased_) bias_at(bias);
  const float one = 1, zero = 0;
  check(cublasLtMatmul(handle, &operation_, &one, a, &a_, b, &b_, &zero, d, &d_, d, &d_,
                       &chosen_.algo, workspace, chosen_.workspaceSize, stream),
        name_);
}

class CublasLinear final : public Linear {
 public:
  /// @throws CudaError
  explicit CublasLinear(const LinearShape& s)
      : applies_bias_(!s.bias || s.scalar == Scalar::f32),
        forward_("y = x W'", s, {s.in, s.out, true}, {s.in, s.rows, false}, {s.out, s.rows, false},
                 s.bias && applies_bias_, s.relu && applies_bias_) {
    check(cublasLtCreate(&handle_.value), "cublasLt's handle");
    if (s.training) {
      backward_data_.emplace("dx = dz W", s, Stored{s.in, s.out, false},
                             Stored{s.out, s.rows, false}, Stored{s.in, s.rows, false}, false,
                             false);
      backward_weights_.emplace("dW = dz' x", s, Stored{s.in, s.rows, false},
                                Stored{s.out, s.rows, true}, Stored{s.in, s.out, false}, false,
                                false);
    }
    for (Product* const product : products()) choose(*product, s);
  }

  std::size_t workspace_bytes() const override {
    std::size_t bytes = forward_.workspace_bytes();
    for (const auto* product : {&backward_data_, &backward_weights_})
      if (*product) bytes = std::max(bytes, (*product)->workspace_bytes());
    return bytes;
  }
  bool applies_bias() const override { return applies_bias_; }

  void forward(cudaStream_t stream, const void* x, const void* weight, const float* bias, void* y,
               void* workspace) override {
    forward_.run(handle_.value, stream, weight, x, y, bias, workspace);
  }
  void backward_data(cudaStream_t stream, const void* dz, const void* weight, void* dx,
                     void* workspace) override {
    PACELINE_CHECK(backward_data_, "a linear layer that was planned without training");
    backward_data_->run(handle_.value, stream, weight, dz, dx, nullptr, workspace);
  }
  void backward_weights(cudaStream_t stream, const void* x, const void* dz, void* dweight,
                        void* workspace) override {
    PACELINE_CHECK(backward_weights_, "a linear layer that was planned without training");
    backward_weights_->run(handle_.value, stream, x, dz, dweight, nullptr, workspace);
  }

 private:
  struct Handle {
    cublasLtHandle_t value = nullptr;
    ~Handle() {
      if (value != nullptr) cublasLtDestroy(value);
    }
  };

  std::vector<Product*> products() {
    if (!backward_data_) return {&forward_};
    return {&forward_, &*backward_data_, &*backward_weights_};
  }
  void choose(Product& product, const LinearShape& shape);

  Handle handle_;
  bool applies_bias_;
  Product forward_;
  std::optional<Product> backward_data_, backward_weights_;
};

void CublasLinear::choose(Product& product, const LinearShape& shape) {
  auto proposals = product.proposals(handle_.value);
  product.choose(proposals.front());
  if (shape.deterministic || proposals.size() == 1) return;

  const auto [a_bytes, b_bytes, d_bytes] = product.bytes();
  ReplayClock clock;
  const auto make = [&](std::size_t bytes) { return TrialMemory(clock.stream(), bytes); };
  const auto a = make(a_bytes), b = make(b_bytes), d = make(d_bytes);
  const auto bias = make(shape.out * sizeof(float)), workspace = make(kWorkspaceBytes);
  std::optional<CudaError> failure;
  std::erase_if(proposals, [&](const auto& proposal) {
    product.choose(proposal);
    try {
      clock.capture([&](cudaStream_t stream) {
        product.run(handle_.value, stream, a.get(), b.get(), d.get(),
                    static_cast<const float*>(bias.get()), workspace.get());
      });
      return false;
    } catch (const CudaError& error) {
      if (!failure) failure = error;
      return true;
    }
  });
  if (proposals.empty()) throw *failure;
  std::vector<double> times(proposals.size(), std::numeric_limits<double>::infinity());
  for (int round = 0; round < kRounds; ++round)
    for (std::size_t k = 0; k < times.size(); ++k) times[k] = std::min(times[k], clock.seconds(k));
  product.choose(
      proposals[static_cast<std::size_t>(std::ranges::min_element(times) - times.begin())]);
}

}  // namespace

Result<std::unique_ptr<Linear>> make_linear(const LinearShape& shape) {
  const auto because = [&](const char* why) {
    return fail(std::errc::not_supported, "linear layer, {} x {} -> {}, {}: {}", shape.rows,
                shape.in, shape.out,
                shape.scalar == Scalar::bf16 ? "bf16"
                : shape.tf32                 ? "tf32"
                                             : "f32",
                why);
  };
  if (shape.rows == 0 || shape.in == 0 || shape.out == 0) return because("a size of 0");
  int device = 0;
  if (const auto status = cudaGetDevice(&device); status != cudaSuccess) {
    static_cast<void>(cudaGetLastError());  // it would stay for the next that asks
    return because(cudaGetErrorString(status));
  }
  try {
    return std::unique_ptr<Linear>(std::make_unique<CublasLinear>(shape));
  } catch (const CudaError& error) {
    return because(error.what());
  }
}

}  // namespace paceline::cuda
