#include "paceline/actors/flat_vector.h"

namespace paceline {
namespace {

constexpr int kEstimated = 10;  // batches

void check_count(const Layout& layout, ConstVector flat) {
  PACELINE_CHECK(flat.count == layout.all_elements(), "{} elements for a flat vector of {}",
                 flat.count, layout.all_elements());
}

}  // namespace

Evaluation test(Executable& executable, const Layout& layout, ConstVector flat,
                TestStream& stream) {
  check_count(layout, flat);
  const ConstVector x{flat.data, layout.elements};
  const ConstVector buffers{static_cast<const float*>(flat.data) + layout.elements,
                            layout.buffer_elements};
  Evaluation sum;
  stream.rewind();
  for (const Batch* batch = &stream.next(); !batch->labels.empty(); batch = &stream.next()) {
    const Evaluation part = executable.evaluate(x, buffers, *batch);
    sum.loss_sum += part.loss_sum;
    sum.errors += part.errors;
    sum.images += part.images;
  }
  return sum;
}

void estimate_buffers(Executable& executable, const Layout& layout, Vector flat,
                      BatchStream& stream) {
  check_count(layout, flat);
  if (layout.buffer_elements == 0) return;
  const ConstVector x{flat.data, layout.elements};
  const Vector buffers{static_cast<float*>(flat.data) + layout.elements, layout.buffer_elements};
  for (int k = 1; k <= kEstimated; ++k)
    executable.estimate_buffers(x, buffers, stream.next(), 1.0 / k);
}

}  // namespace paceline
