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
  /// @param stream  of batches of exactly options.batch images
  static Result<std::unique_ptr<CnnEngine>> create(Device& device, const Network& network,
                                                   const CompileOptions& options,
                                                   BatchStream stream);
  double gradient(ConstVector x, Vector g, Rng& rng) override;

 private:
  CnnEngine(std::unique_ptr<Executable> executable, BatchStream stream)
      : executable_(std::move(executable)), stream_(std::move(stream)) {}
  std::unique_ptr<Executable> executable_;
  BatchStream stream_;
};

}  // namespace paceline
