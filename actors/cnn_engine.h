// Gradients of a convolutional network: an executable on a device, fed by a worker's stream of
// batches: raw ones where the device cuts them by itself.
//   CE-1 Where the host is idle in a step, the next batch is drawn and staged meanwhile. Batches and
//        results are the same, bit for bit, as without.
//   CE-2 stream() says where the stream stood before a batch that is staged and not used: who goes on
//        from there sees that batch, and none twice.
//   CE-3 Several engines of one thread may share an executable that has no host work in its steps: the
//        stream and the buffers are each engine's own.
// Threading: built, used and destroyed on the worker's engine thread (an Executable
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
  /// @param data  outlives the engine; @param stream  whose batch is compile's; `raw` as the device
  ///              wants it
  static Result<std::unique_ptr<CnnEngine>> create(Device& device, const Program& program,
                                                   const CompileOptions& compile,
                                                   std::span<const float> buffers, const Data& data,
                                                   StreamOptions stream);
  /// The same on an executable that other engines may have, too.
  /// @param executable  compiled by this thread; shared only without has_meanwhile() (CE-3)
  static Result<std::unique_ptr<CnnEngine>> create(Device& device,
                                                   std::shared_ptr<Executable> executable,
                                                   std::span<const float> buffers, const Data& data,
                                                   StreamOptions stream);
  double gradient(ConstVector x, Vector g, Rng& rng) override;
  bool updates() const override { return executable_->updates(); }
  double step(const Sgd& sgd, Vector x, Vector momentum, Vector g, Rng& rng) override;
  ConstVector buffers() const override { return buffers_; }
  StreamState stream() const override { return staged_ ? before_staged_ : stream_.state(); }
  /// A position beyond the worker's images, of which there may be fewer now, is the epoch's begin.
  void restore(const StreamState& stream, ConstVector buffers) override;

 private:
  CnnEngine(const VectorMath& math, std::shared_ptr<Executable> executable,
            std::unique_ptr<DeviceMemory> memory, std::size_t buffers, const Data& data,
            const StreamOptions& stream)
      : executable_(std::move(executable)),
        memory_(std::move(memory)),
        math_(math),
        buffers_{memory_ ? memory_->data() : nullptr, buffers},
        stream_(data, stream) {}
  /// The batch of the step that is about to be taken; while it is, the next one is staged.
  const Batch& next_batch();
  void stage_next();

  std::shared_ptr<Executable> executable_;
  std::unique_ptr<DeviceMemory> memory_;  // of the buffers; null without any
  const VectorMath& math_;
  Vector buffers_;
  BatchStream stream_;
  const Batch* staged_ = nullptr;  // of the stream, which outlives it; null: none
  StreamState before_staged_;
};

}  // namespace paceline
