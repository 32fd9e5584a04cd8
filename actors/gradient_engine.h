// Where gradients come from: a network on a device with its stream of batches, or an objective in
// closed form. Threading: owned by one worker, used on its thread alone.
#pragma once

#include "paceline/compute/vector_math.h"
#include "paceline/layers/input/batch_stream.h"
#include "paceline/result.h"

namespace paceline {

class GradientEngine {
 public:
  virtual ~GradientEngine() = default;
  /// The loss of the next batch at x, and its gradient.
  /// @param x [P], @param g [P] overwritten, @param rng  the worker's stream
  virtual double gradient(ConstVector x, Vector g, Rng& rng) = 0;
  /// Whether it takes the optimiser's step along.
  virtual bool updates() const { return false; }
  /// gradient(), and VectorMath::update() behind it without pulls: the same bits, whatever the loss is.
  /// Only where updates().
  virtual double step(const Sgd& /*sgd*/, Vector /*x*/, Vector /*momentum*/, Vector /*g*/,
                      Rng& /*rng*/) {
    PACELINE_CHECK(false, "an update asked of an engine that takes none");
    return 0;
  }
  /// [B] What gradient() keeps beside the parameters: running statistics, which travel with them and
  /// are nobody's to pull or average. Empty where there are none.
  virtual ConstVector buffers() const { return {}; }
  /// Where its stream of batches stands. Checkpoints keep it and the buffers.
  virtual StreamState stream() const { return {}; }
  /// Goes on where another engine was. @param buffers  [B]
  virtual void restore(const StreamState& /*stream*/, ConstVector /*buffers*/) {}
};

}  // namespace paceline
