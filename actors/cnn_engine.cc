#include "paceline/actors/cnn_engine.h"

#include <utility>

namespace paceline {

Result<std::unique_ptr<CnnEngine>> CnnEngine::create(Device& device, const Program& program,
                                                     const CompileOptions& compile,
                                                     std::span<const float> buffers,
                                                     const Data& data, StreamOptions stream) {
  PACELINE_TRY(auto executable, device.compile(program, compile));
  return create(device, std::shared_ptr<Executable>(std::move(executable)), buffers, data, stream);
}

Result<std::unique_ptr<CnnEngine>> CnnEngine::create(Device& device,
                                                     std::shared_ptr<Executable> executable,
                                                     std::span<const float> buffers,
                                                     const Data& data, StreamOptions stream) {
  stream.raw = executable->takes_raw();
  std::unique_ptr<DeviceMemory> memory;
  if (!buffers.empty()) {
    PACELINE_TRY(memory, device.allocate(device.math().bytes(buffers.size())));
    device.math().copy({memory->data(), buffers.size()}, {buffers.data(), buffers.size()});
  }
  return std::unique_ptr<CnnEngine>(
      new CnnEngine(device.math(), std::move(executable), std::move(memory), buffers.size(), data, stream));
}

double CnnEngine::gradient(ConstVector x, Vector g, Rng& rng) {
  const Batch& batch = next_batch();
  return executable_->train_step(x, buffers_, g, batch, rng.next());
}

double CnnEngine::step(const Sgd& sgd, Vector x, Vector momentum, Vector g, Rng& rng) {
  const Batch& batch = next_batch();
  return executable_->train_and_update(sgd, x, momentum, buffers_, g, batch, rng.next());
}

const Batch& CnnEngine::next_batch() {
  if (!executable_->has_meanwhile()) return stream_.next();
  if (staged_ == nullptr) stage_next();
  executable_->meanwhile([this] { stage_next(); });
  return *std::exchange(staged_, nullptr);
}

void CnnEngine::stage_next() {
  before_staged_ = stream_.state();
  const Batch& batch = stream_.next();
  executable_->stage(batch);
  staged_ = &batch;
}

/// What is staged is dropped: the next step stages anew.
void CnnEngine::restore(const StreamState& stream, ConstVector buffers) {
  staged_ = nullptr;
  StreamState from = stream;
  if (from.position > stream_.images_per_epoch()) from.position = 0;
  stream_.restore(from);
  if (buffers_.count > 0) math_.copy(buffers_, buffers);
}

}  // namespace paceline
