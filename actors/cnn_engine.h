// Gradients of a convolutional network: an executable on a device, fed by a worker's stream of
// batches. Threading: built, used and destroyed on the worker's engine thread (an Executable
// belongs to the thread that made it).
#pragma once

#include <memory>

#include "paceline/actors/gradient_engine.h"
#include "paceline/compute/device.h"
#include "paceline/layers/input/batch_stream.h"
#include "paceline/layers/network.h"

namespace paceline {

class CnnEngine final : public GradientEngine {
 public:
  /// @param data  outlives the engine; @param stream  whose batch is compile's
  static Result<std::unique_ptr<CnnEngine>> create(Device& device, const Network& network,
                                                   const CompileOptions& compile, const Data& data,
                                                   const StreamOptions& stream);
  double gradient(ConstVector x, Vector g, Rng& rng) override;

 private:
  CnnEngine(std::unique_ptr<Executable> executable, const Data& data, const StreamOptions& stream)
      : executable_(std::move(executable)), stream_(data, stream) {}
  std::unique_ptr<Executable> executable_;
  BatchStream stream_;
};

}  // namespace paceline
