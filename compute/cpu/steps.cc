#include <algorithm>
#include <cmath>

#include "paceline/compute/cpu/steps_internal.h"
#include "paceline/compute/dropout_mask_internal.h"

namespace paceline {

PrimitiveStep::PrimitiveStep(dnnl::primitive primitive,
                             std::vector<std::pair<int, dnnl::memory>> arguments)
    : primitive_(std::move(primitive)), memories_(std::move(arguments)) {
  for (const auto& [index, memory] : memories_) arguments_.push_back({index, memory.get()});
}

void PrimitiveStep::run(const Pass& pass) {
  // The C++ call would build this list anew each time.
  const dnnl_status_t status = dnnl_primitive_execute(
      primitive_.get(), pass.stream, static_cast<int>(arguments_.size()), arguments_.data());
  PACELINE_CHECK(status == dnnl_success, "oneDNN reports status {}", static_cast<int>(status));
}

DropoutStep::DropoutStep(dnnl::memory x, dnnl::memory y, std::size_t operation, double probability)
    : x_(std::move(x)),
      y_(std::move(y)),
      count_(x_.get_desc().get_size() / sizeof(float)),
      operation_(operation),
      probability_(probability) {}

void DropoutStep::run(const Pass& pass) {
  const float* const x = static_cast<const float*>(x_.get_data_handle());
  float* const y = static_cast<float*>(y_.get_data_handle());
  if (!pass.dropout) {
    std::copy_n(x, count_, y);
    return;
  }
  DropoutMask mask(pass.seed, operation_, probability_);
  for (std::size_t e = 0; e < count_; ++e) y[e] = x[e] * mask.next();
}

Evaluation softmax_cross_entropy(std::span<const float> logits, std::size_t classes,
                                 std::span<const std::int32_t> labels, double smoothing,
                                 std::span<float> dlogits) {
  Evaluation sum;
  const float share = 1.0f / static_cast<float>(labels.size());
  const float everywhere = static_cast<float>(smoothing / static_cast<double>(classes));
  const float at_label = static_cast<float>(1 - smoothing) + everywhere;
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const std::span<const float> row = logits.subspan(n * classes, classes);
    const auto largest = std::max_element(row.begin(), row.end());  // of equals, the first
    const std::size_t label = static_cast<std::size_t>(labels[n]);
    double total = 0, all = 0;
    for (const float logit : row) {
      total += std::exp(logit - *largest);
      all += logit - *largest;
    }
    const double normaliser = std::log(total);
    double loss = normaliser - (row[label] - *largest);
    sum.errors += static_cast<std::size_t>(largest - row.begin()) != label;
    sum.images += 1;
    if (!dlogits.empty()) {
      if (smoothing > 0)
        loss =
            (1 - smoothing) * loss + smoothing * (normaliser - all / static_cast<double>(classes));
      const float inverse = static_cast<float>(1.0 / total);
      for (std::size_t c = 0; c < classes; ++c) {
        const float probability = std::exp(row[c] - *largest) * inverse;
        dlogits[n * classes + c] = (probability - (c == label ? at_label : everywhere)) * share;
      }
    }
    sum.loss_sum += loss;
  }
  return sum;
}

}  // namespace paceline
