#include "paceline/actors/cnn_engine.h"

namespace paceline {

Result<std::unique_ptr<CnnEngine>> CnnEngine::create(Device& device, const Network& network,
                                                     const CompileOptions& compile,
                                                     const Data& data,
                                                     const StreamOptions& stream) {
  PACELINE_TRY(auto executable, device.compile(network.program(), compile));
  return std::unique_ptr<CnnEngine>(new CnnEngine(std::move(executable), data, stream));
}

double CnnEngine::gradient(ConstVector x, Vector g, Rng& rng) {
  return executable_->train_step(x, {}, g, stream_.next(), rng.next());
}

}  // namespace paceline
