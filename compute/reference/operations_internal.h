// What every operation means, as plain loops over N,H,W,C in double precision: the specification
// that other devices are checked against. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "paceline/compute/device.h"
#include "paceline/compute/program.h"

namespace paceline::reference {

/// One operation on one batch. Pointers that an operation has no use for are null.
struct Call {
  std::size_t images = 0;
  Shape in, out;
  const double* x = nullptr;      ///< [images, in]
  const float* weight = nullptr;  ///< as in the flat vector (PR-3)
  const float* bias = nullptr;
  bool training = false;      ///< whether dropout drops
  std::uint64_t seed = 0;     ///< of the dropout mask
  std::size_t operation = 0;  ///< its index in the Program
};

/// Where backward() adds what it finds; all start at zero.
struct Gradients {
  double* x = nullptr;  ///< [images, in]
  double* weight = nullptr;
  double* bias = nullptr;
};

/// y = f(x). @param y  [images, out], zero at first
void forward(const OperationKind& kind, const Call& call, double* y);
/// Adds the gradients at x and the parameters. @param dy  [images, out], the gradient at y
void backward(const OperationKind& kind, const Call& call, const double* dy, const Gradients& to);

/// Loss and errors of n images; @param dlogits  null, or where the gradient of the *mean* loss goes
Evaluation softmax_cross_entropy(std::span<const double> logits, std::size_t classes,
                                 std::span<const std::int32_t> labels, double* dlogits);

}  // namespace paceline::reference
