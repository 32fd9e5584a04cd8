// The host's side of the GPU's vector algebra: checks, operands, constants. The kernels are in
// vector_kernels.cu, what they do to an element in update_arithmetic_internal.h.
#include <algorithm>
#include <bit>
#include <cstring>

#include "paceline/compute/cuda/cuda_error_internal.h"
#include "paceline/compute/cuda/operands_internal.h"
#include "paceline/compute/cuda/range_internal.h"
#include "paceline/compute/cuda/update_sections_internal.h"
#include "paceline/compute/cuda/vector_context_internal.h"
#include "paceline/compute/cuda/vector_kernels_internal.h"
#include "paceline/compute/cuda/vector_math_internal.h"
#include "paceline/result.h"

namespace paceline::cuda {
namespace {

constexpr std::size_t kStagedMean = std::size_t{4} << 20;  // elements of each operand at a time

void check_counts(ConstVector a, ConstVector b) {
  PACELINE_CHECK(a.count == b.count, "vectors of {} and {} elements", a.count, b.count);
}
ConstVector part(ConstVector v, std::size_t first, std::size_t count) {
  return {static_cast<const float*>(v.data) + first, count};
}
Vector part(Vector v, std::size_t first, std::size_t count) {
  return {static_cast<float*>(v.data) + first, count};
}

class CudaVectorMath final : public VectorMath {
 public:
  explicit CudaVectorMath(Twins& twins) : twins_(twins) {}

  std::size_t bytes(std::size_t count) const override { return count * sizeof(float); }
  std::size_t code_bytes(std::size_t count) const override { return kCodeHeader + (count + 3) / 4; }

  void fill(Vector y, double value) const override {
    if (y.count == 0) return;
    in_call([&](Operands& operands) {
      launch(stream(), FillElement{operands.write(y), static_cast<float>(value)}, y.count);
    });
  }

  void copy(Vector y, ConstVector x) const override {
    check_counts(y, x);
    if (y.count == 0 || y.data == x.data) return;
    refresh_for_copy(y, x);
    check(cudaMemcpyAsync(y.data, x.data, bytes(y.count), cudaMemcpyDefault, stream()), "copy");
    if (reach_of(y.data).host || reach_of(x.data).host)
      check(cudaStreamSynchronize(stream()), "the end of a copy");
  }
  std::unique_ptr<PendingCopy> begin_copy(Vector y, ConstVector x) const override {
    const Range range("publish");
    check_counts(y, x);
    const Reach to = reach_of(y.data);
    if (y.count == 0 || y.data == x.data || to.device == nullptr || reach_of(x.data).host) {
      copy(y, x);
      return nullptr;
    }
    refresh_for_copy(y, x);
    return copy_beside(contexts_.mine(), y.data, x.data, bytes(y.count), to.host);
  }

  void finish() const override {
    check(cudaStreamSynchronize(stream()), "the end of vector operations");
  }

  void scale(Vector y, double a) const override {
    if (y.count == 0) return;
    in_call([&](Operands& operands) {
      launch(stream(), ScaleElement{operands.change(y), static_cast<float>(a)}, y.count);
    });
  }
  void axpy(Vector y, double a, ConstVector x) const override {
    check_counts(y, x);
    if (y.count == 0) return;
    in_call([&](Operands& operands) {
      const float* const added = operands.read(x);
      launch(stream(), AxpyElement{operands.change(y), static_cast<float>(a), added}, y.count);
    });
  }
  void difference(Vector d, double a, ConstVector x, ConstVector y) const override {
    check_counts(d, x);
    check_counts(d, y);
    if (d.count == 0) return;
    in_call([&](Operands& operands) {
      const float *const from = operands.read(x), *const taken = operands.read(y);
      launch(stream(), DifferenceElement{operands.write(d), static_cast<float>(a), from, taken},
             d.count);
    });
  }
  void pull(Vector x, const Pull& pull) const override {
    const Range range("pull");
    check_counts(x, pull.leader);
    if (x.count == 0) return;
    in_call([&](Operands& operands) {
      const float* const leader = operands.read(pull.leader);
      launch(stream(), PullElement{operands.change(x), static_cast<float>(pull.strength), leader},
             x.count);
    });
  }

  void mean(Vector y, std::span<const ConstVector> xs) const override {
    PACELINE_CHECK(!xs.empty() && xs.size() <= MeanElement::kMost, "the mean of {} vectors",
                   xs.size());
    bool staged = reach_of(y.data).device == nullptr;
    for (const ConstVector& x : xs) {
      check_counts(y, x);
      staged = staged || reach_of(x.data).device == nullptr;
      twins_.refresh_f32(stream(), x.data);  // whole, not part by part
    }
    const std::size_t most = staged ? kStagedMean : y.count;
    for (std::size_t first = 0; first < y.count; first += most) {
      const std::size_t count = std::min(most, y.count - first);
      in_call([&](Operands& operands) {
        MeanElement element;
        element.count = static_cast<int>(xs.size());
        for (std::size_t k = 0; k < xs.size(); ++k)
          element.xs[k] = operands.read(part(xs[k], first, count));
        element.y = operands.write(part(y, first, count));
        launch(stream(), element, count);
      });
    }
    twins_.written(y.data);
  }

  double distance_squared(ConstVector x, ConstVector y) const override {
    check_counts(x, y);
    return sums_of(x, y).squares;
  }
  double norm_squared(ConstVector x) const override { return sums_of(x, {}).squares; }
  bool finite(ConstVector x) const override { return sums_of(x, {}).bad == 0; }

  void look_ahead(const Sgd& sgd, Vector x, Vector momentum) const override {
    if (sgd.form != Momentum::sutskever) return;
    check_counts(x, momentum);
    if (x.count == 0) return;
    in_call([&](Operands& operands) {
      float* const v = operands.change(momentum);
      launch(stream(), LookAheadElement{static_cast<float>(sgd.momentum), operands.change(x), v},
             x.count);
    });
  }

  void update(const Sgd& sgd, Vector x, Vector momentum, ConstVector g,
              std::span<const Pull> pulls) const override {
    const Range range(pulls.empty() ? "update" : "update and pull");
    check_counts(x, g);
    if (sgd.form != Momentum::none) check_counts(x, momentum);
    for (const Pull& pull : pulls) check_counts(x, pull.leader);
    if (x.count == 0) return;
    // A leader that the step itself changes, and one too many, take passes of their own.
    const auto fused = static_cast<std::size_t>(
        std::ranges::find_if(
            pulls.first(std::min<std::size_t>(pulls.size(), UpdateElement<float>::kMostPulls)),
            [&](const Pull& pull) {
              return pull.leader.data == x.data || pull.leader.data == momentum.data;
            }) -
        pulls.begin());
    const Twin* const twin = twins_.find(g.data);
    if (twin != nullptr && !twin->f32_fresh && twin->count >= g.count)
      fused_update<Bf16>(sgd, x, momentum, g, static_cast<const Bf16*>(twin->bf16),
                         pulls.first(fused));
    else
      fused_update<float>(sgd, x, momentum, g, nullptr, pulls.first(fused));
    for (const Pull& left : pulls.subspan(fused)) pull(x, left);
  }

  void encode(std::span<std::byte> code, ConstVector v, CodeNorm norm, Rng& rng) const override {
    PACELINE_CHECK(code.size() == code_bytes(v.count), "{} bytes for the code of {} elements",
                   code.size(), v.count);
    in_call([&](Operands& operands) {
      const float* const from = v.count == 0 ? nullptr : operands.read(v);
      std::byte* const to = operands.write_bytes(code.data(), code.size());
      void* const partials = operands.scratch(vector_sums_scratch_bytes());
      auto* const sums = static_cast<VectorSums*>(operands.scratch(sizeof(VectorSums)));
      vector_sums(stream(), from, nullptr, v.count, sums, partials);
      cuda::encode(stream(), to, from, v.count, norm == CodeNorm::infinity, sums, rng.state());
    });
    rng.restore(rng.state() + v.count * kSplitmixStep);
  }

  void add_decoded(Vector y, double a, std::span<const std::byte> code) const override {
    PACELINE_CHECK(code.size() == code_bytes(y.count), "{} bytes of code for {} elements",
                   code.size(), y.count);
    std::byte header[kCodeHeader];
    if (reach_of(code.data()).host) {
      std::memcpy(header, code.data(), sizeof header);
    } else {
      check(cudaMemcpyAsync(header, code.data(), sizeof header, cudaMemcpyDeviceToHost, stream()),
            "reading a code's header");
      check(cudaStreamSynchronize(stream()), "reading a code's header");
    }
    double scale = 0;
    std::uint64_t count = 0;
    std::memcpy(&scale, header, sizeof scale);
    std::memcpy(&count, header + sizeof scale, sizeof count);
    PACELINE_CHECK(count == y.count, "the code of {} elements for {}", count, y.count);
    if (y.count == 0) return;
    in_call([&](Operands& operands) {
      const std::byte* const body =
          operands.read_bytes(code.data() + kCodeHeader, code.size() - kCodeHeader);
      cuda::add_decoded(stream(), operands.change(y), y.count, static_cast<float>(a * scale), body);
    });
  }

 private:
  static cudaStream_t stream() { return cudaStreamPerThread; }

  template <class F>
  void in_call(F f) const {
    const std::shared_ptr<VectorContext> context = contexts_.mine();
    Operands operands(*context, twins_);
    f(operands);
    operands.finish();
  }

  void refresh_for_copy(Vector y, ConstVector x) const {
    twins_.refresh_f32(stream(), x.data);
    if (const Twin* const twin = twins_.find(y.data); twin != nullptr && twin->count > y.count)
      twins_.refresh_f32(stream(), y.data);  // what is not copied over stays
    twins_.written(y.data);
  }

  /// @param y  empty: of x itself
  VectorSums sums_of(ConstVector x, ConstVector y) const {
    if (x.count == 0) return {};
    const std::shared_ptr<VectorContext> context = contexts_.mine();
    Operands operands(*context, twins_);
    const float* const from = operands.read(x);
    const float* const taken = y.data == nullptr ? nullptr : operands.read(y);
    vector_sums(stream(), from, taken, x.count, context->result(),
                operands.scratch(vector_sums_scratch_bytes()));
    check(cudaStreamSynchronize(stream()), "the sums of a vector");
    return *context->result();
  }

  /// @param g16  the gradient in 16 bits; null: g's f32 side counts
  template <class G>
  void fused_update(const Sgd& sgd, Vector x, Vector momentum, ConstVector g, const Bf16* g16,
                    std::span<const Pull> pulls) const {
    Twin* const twin = twins_.find(x.data);
    const bool writes_twin = twin != nullptr && twin->count >= x.count;
    const bool was_fresh = twin != nullptr && twin->bf16_fresh;
    in_call([&](Operands& operands) {
      UpdateElement<G> whole{.form = sgd.form, .constants = StepConstants(sgd)};
      whole.m = sgd.form == Momentum::none ? nullptr : operands.change(momentum);
      if constexpr (std::is_same_v<G, Bf16>)
        whole.g = g16;
      else
        whole.g = operands.read(g);
      whole.x16 = writes_twin ? static_cast<Bf16*>(twin->bf16) : nullptr;
      whole.pulls = static_cast<int>(pulls.size());
      for (std::size_t p = 0; p < pulls.size(); ++p) {
        whole.leaders[p] = operands.read(pulls[p].leader);
        whole.strengths[p] = static_cast<float>(pulls[p].strength);
      }
      whole.x = operands.change(x);
      launch_sections(stream(), whole, sgd.undecayed, x.count);
    });
    if (writes_twin) twin->bf16_fresh = twin->count == x.count || was_fresh;
  }

  Twins& twins_;
  mutable VectorContexts contexts_;
};

}  // namespace

std::unique_ptr<VectorMath> make_vector_math(Twins& twins) {
  return std::make_unique<CudaVectorMath>(twins);
}

}  // namespace paceline::cuda
