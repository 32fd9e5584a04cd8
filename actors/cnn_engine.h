// Gradients of a convolutional network: an executable on a device, fed by a worker's stream of
// batches. Threading: built, used and destroyed on the worker's engine thread (an Executable
// belongs to the thread that made it).
#pragma once

#include <memory>
#include <span>

#include "paceline/actors/gradient_engine.h"
#include "paceline/compute/device.h"
#include "paceline/layers/input/batch_stream.h"

namespace paceline {

class CnnEngine final : public GradientEngine {
 public:
  /// @param buffers  [B], the first running statistics
  /// @param data  outlives the engine; @param stream  whose batch is compile's
  static Result<std::unique_ptr<CnnEngine>> create(Device& device, const Program& program,
                                                   const CompileOptions& compile,
                                                   std::span<const float> buffers, const Data& data,
                                                   const StreamOptions& stream);
  double gradient(ConstVector x, Vector g, Rng& rng) override;
  ConstVector buffers() const override { return buffers_; }
  StreamState stream() const override { return stream_.state(); }
  /// A position beyond the worker's images, of which there may be fewer now, is the epoch's begin.
  void restore(const StreamState& stream, ConstVector buffers) override;

 private:
  CnnEngine(const VectorMath& math, std::unique_ptr<Executable> executable, std::unique_ptr<DeviceMemory> memory,
            std::size_t buffers, const Data& data, const StreamOptions& stream)
      : executable_(std::move(executable)),
        memory_(std::move(memory)),
        math_(math),
        buffers_{memory_ ? memory_->data() : nullptr, buffers},
        stream_(data, stream) {}
  std::unique_ptr<Executable> executable_;
  std::unique_ptr<DeviceMemory> memory_;  // of the buffers; null without any
  const VectorMath& math_;
  Vector buffers_;
  BatchStream stream_;
};

}  // namespace paceline
