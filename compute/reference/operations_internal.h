// What every operation means, as plain loops over N,H,W,C in double precision: the specification
// that other devices are checked against. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "paceline/compute/device.h"
#include "paceline/compute/program.h"

namespace paceline::reference {

/// One operation on one batch. Pointers that an operation has no use for may point anywhere.
struct Call {
  std::size_t images = 0;
  Shape in, out;
  const double* x = nullptr;      ///< [images, in]
  const double* other = nullptr;  ///< [images, in], Add's second input
  const float* weight = nullptr;  ///< as in the flat vector (PR-3)
  const float* bias = nullptr;
  const float* running_mean = nullptr;  ///< [channels], used without batch_statistics
  const float* running_variance = nullptr;
  bool batch_statistics = false;  ///< whether BatchNorm takes mean and variance from the batch
  bool drops = false;             ///< whether dropout drops
  std::uint64_t seed = 0;         ///< of the dropout mask
  std::size_t operation = 0;      ///< its index in the Program
};

/// Where backward() adds what it finds, so that an activation that several operations read gets the
/// sum of their gradients.
struct Gradients {
  double* x = nullptr;      ///< [images, in]
  double* other = nullptr;  ///< [images, in], may be x
  double* weight = nullptr;
  double* bias = nullptr;
};

/// y = f(x). @param y  [images, out], overwritten
void forward(const OperationKind& kind, const Call& call, double* y);
/// Adds the gradients at x and the parameters; as in training: of batch statistics, of what was not
/// dropped. @param dy  [images, out], the gradient at y
void backward(const OperationKind& kind, const Call& call, const double* dy, const Gradients& to);

/// Of a BatchNorm: running = (1 - share) running + share (mean and unbiased variance of the batch).
/// @param mean, variance  [channels], the running ones
void move_running_statistics(const Call& call, double share, float* mean, float* variance);

/// Loss and errors of n images.
/// @param smoothing  of the targets, in [0, 1)
/// @param dlogits  null, or where the gradient of the *mean* loss goes
Evaluation softmax_cross_entropy(std::span<const double> logits, std::size_t classes,
                                 std::span<const std::int32_t> labels, double smoothing,
                                 double* dlogits);

}  // namespace paceline::reference
