#include "paceline/actors/tester.h"

#include <utility>

namespace paceline {
namespace {

constexpr std::size_t kBatch = 128;
constexpr int kEstimated = 10;  // batches

}  // namespace

Result<std::unique_ptr<Tester>> Tester::create(Device& device, const Network& network,
                                               const Data& data, bool deterministic,
                                               unsigned decode_threads) {
  CompileOptions options;
  options.batch = kBatch;
  options.training = false;
  options.deterministic = deterministic;
  PACELINE_TRY(auto executable, device.compile(network.program(), options));
  return std::unique_ptr<Tester>(new Tester(std::move(executable), network, data, decode_threads));
}

Tester::Tester(std::unique_ptr<Executable> executable, const Network& network, const Data& data,
               unsigned decode_threads)
    : executable_(std::move(executable)),
      network_(network),
      data_(data),
      stream_(data, *data.test, network.image(), kBatch, decode_threads, executable_->takes_raw()) {
}

Evaluation Tester::test(ConstVector flat) {
  const Layout& layout = network_.layout();
  PACELINE_CHECK(flat.count == layout.all_elements(), "{} elements for {} of {}", flat.count,
                 layout.all_elements(), network_.name());
  const ConstVector x{flat.data, layout.elements};
  const ConstVector buffers{static_cast<const float*>(flat.data) + layout.elements,
                            layout.buffer_elements};
  Evaluation sum;
  stream_.rewind();
  for (const Batch* batch = &stream_.next(); !batch->labels.empty(); batch = &stream_.next()) {
    const Evaluation part = executable_->evaluate(x, buffers, *batch);
    sum.loss_sum += part.loss_sum;
    sum.errors += part.errors;
    sum.images += part.images;
  }
  return sum;
}

void Tester::estimate_buffers(Vector flat, StreamOptions options) {
  const Layout& layout = network_.layout();
  PACELINE_CHECK(flat.count == layout.all_elements(), "{} elements for {} of {}", flat.count,
                 layout.all_elements(), network_.name());
  if (layout.buffer_elements == 0) return;
  options.batch = kBatch;
  options.raw = executable_->takes_raw();
  BatchStream stream(data_, options);
  const ConstVector x{flat.data, layout.elements};
  const Vector buffers{static_cast<float*>(flat.data) + layout.elements, layout.buffer_elements};
  for (int k = 1; k <= kEstimated; ++k)
    executable_->estimate_buffers(x, buffers, stream.next(), 1.0 / k);
}

}  // namespace paceline
