#include "paceline/actors/cnn_engine.h"

namespace paceline {

Result<std::unique_ptr<CnnEngine>> CnnEngine::create(Device& device, const Program& program,
                                                     const CompileOptions& compile,
                                                     std::span<const float> buffers,
                                                     const Data& data,
                                                     const StreamOptions& stream) {
  PACELINE_TRY(auto executable, device.compile(program, compile));
  std::unique_ptr<DeviceMemory> memory;
  if (!buffers.empty()) {
    PACELINE_TRY(memory, device.allocate(device.math().bytes(buffers.size())));
    device.math().copy({memory->data(), buffers.size()}, {buffers.data(), buffers.size()});
  }
  return std::unique_ptr<CnnEngine>(
      new CnnEngine(device.math(), std::move(executable), std::move(memory), buffers.size(), data, stream));
}

double CnnEngine::gradient(ConstVector x, Vector g, Rng& rng) {
  return executable_->train_step(x, buffers_, g, stream_.next(), rng.next());
}

void CnnEngine::restore(const StreamState& stream, ConstVector buffers) {
  StreamState from = stream;
  if (from.position > stream_.images_per_epoch()) from.position = 0;
  stream_.restore(from);
  if (buffers_.count > 0) math_.copy(buffers_, buffers);
}

}  // namespace paceline
