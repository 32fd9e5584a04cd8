#include "paceline/actors/cnn_engine.h"

namespace paceline {

Result<std::unique_ptr<CnnEngine>> CnnEngine::create(Device& device, const Network& network,
                                                     const CompileOptions& options,
                                                     BatchStream stream) {
  PACELINE_TRY(auto executable, device.compile(network.program(), options));
  return std::unique_ptr<CnnEngine>(new CnnEngine(std::move(executable), std::move(stream)));
}

double CnnEngine::gradient(ConstVector x, Vector g, Rng& rng) {
  return executable_->train_step(x, g, stream_.next(), rng.next());
}

}  // namespace paceline
