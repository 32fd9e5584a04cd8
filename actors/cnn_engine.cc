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
      new CnnEngine(std::move(executable), std::move(memory), buffers.size(), data, stream));
}

double CnnEngine::gradient(ConstVector x, Vector g, Rng& rng) {
  return executable_->train_step(x, buffers_, g, stream_.next(), rng.next());
}

}  // namespace paceline
