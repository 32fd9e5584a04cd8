#include "paceline/compute/reference/operations_internal.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "paceline/compute/dropout_mask_internal.h"

namespace paceline::reference {
namespace {

/// Index of (n, y, x, c) in [N,H,W,C].
std::size_t at(const Shape& s, std::size_t n, std::size_t y, std::size_t x, std::size_t c) {
  return ((n * s.height + y) * s.width + x) * s.channels + c;
}

/// Calls f(input element, weight element, output element) for every product of a cross-correlation.
template <class F>
void for_each_product(const Convolution& op, const Call& call, F f) {
  const std::size_t k = op.kernel;
  for (std::size_t n = 0; n < call.images; ++n)
    for (std::size_t oy = 0; oy < call.out.height; ++oy)
      for (std::size_t ox = 0; ox < call.out.width; ++ox)
        for (std::size_t o = 0; o < call.out.channels; ++o)
          for (std::size_t ky = 0; ky < k; ++ky)
            for (std::size_t kx = 0; kx < k; ++kx) {
              // Unsigned: left of the image wraps round to something that is right of it.
              const std::size_t iy = oy * op.stride + ky - op.padding;
              const std::size_t ix = ox * op.stride + kx - op.padding;
              if (iy >= call.in.height || ix >= call.in.width) continue;
              for (std::size_t i = 0; i < call.in.channels; ++i)
                f(at(call.in, n, iy, ix, i), ((o * k + ky) * k + kx) * call.in.channels + i,
                  at(call.out, n, oy, ox, o));
            }
}

/// Calls f(channel or feature, output element) for every output.
template <class F>
void for_each_output(const Call& call, F f) {
  for (std::size_t e = 0; e < call.images * call.out.count(); ++e) f(e % call.out.channels, e);
}

void forward(const Convolution& op, const Call& call, double* y) {
  for_each_output(call, [&](std::size_t c, std::size_t e) { y[e] = call.bias[c]; });
  for_each_product(op, call, [&](std::size_t i, std::size_t w, std::size_t o) {
    y[o] += call.x[i] * call.weight[w];
  });
}
void backward(const Convolution& op, const Call& call, const double* dy, const Gradients& to) {
  for_each_output(call, [&](std::size_t c, std::size_t e) { to.bias[c] += dy[e]; });
  for_each_product(op, call, [&](std::size_t i, std::size_t w, std::size_t o) {
    to.weight[w] += dy[o] * call.x[i];
    to.x[i] += dy[o] * call.weight[w];
  });
}

void forward(const Relu&, const Call& call, double* y) {
  for_each_output(call, [&](std::size_t, std::size_t e) { y[e] = std::max(call.x[e], 0.0); });
}
void backward(const Relu&, const Call& call, const double* dy, const Gradients& to) {
  for_each_output(call, [&](std::size_t, std::size_t e) { to.x[e] += call.x[e] > 0 ? dy[e] : 0; });
}

/// Calls f(element of the window's maximum, output element) for every window.
template <class F>
void for_each_maximum(const MaxPool& op, const Call& call, F f) {
  for (std::size_t n = 0; n < call.images; ++n)
    for (std::size_t oy = 0; oy < call.out.height; ++oy)
      for (std::size_t ox = 0; ox < call.out.width; ++ox)
        for (std::size_t c = 0; c < call.out.channels; ++c) {
          std::size_t best = at(call.in, n, oy * op.stride, ox * op.stride, c);
          for (std::size_t ky = 0; ky < op.kernel; ++ky)
            for (std::size_t kx = 0; kx < op.kernel; ++kx) {
              const std::size_t e = at(call.in, n, oy * op.stride + ky, ox * op.stride + kx, c);
              if (call.x[e] > call.x[best]) best = e;
            }
          f(best, at(call.out, n, oy, ox, c));
        }
}
void forward(const MaxPool& op, const Call& call, double* y) {
  for_each_maximum(op, call, [&](std::size_t best, std::size_t o) { y[o] = call.x[best]; });
}
void backward(const MaxPool& op, const Call& call, const double* dy, const Gradients& to) {
  for_each_maximum(op, call, [&](std::size_t best, std::size_t o) { to.x[best] += dy[o]; });
}

/// Calls f(input element, weight element, output element) for every product.
template <class F>
void for_each_product(const Linear&, const Call& call, F f) {
  const std::size_t in = call.in.count(), out = call.out.count();
  for (std::size_t n = 0; n < call.images; ++n)
    for (std::size_t o = 0; o < out; ++o)
      for (std::size_t i = 0; i < in; ++i) f(n * in + i, o * in + i, n * out + o);
}
void forward(const Linear& op, const Call& call, double* y) {
  for_each_output(call, [&](std::size_t c, std::size_t e) { y[e] = call.bias[c]; });
  for_each_product(op, call, [&](std::size_t i, std::size_t w, std::size_t o) {
    y[o] += call.x[i] * call.weight[w];
  });
}
void backward(const Linear& op, const Call& call, const double* dy, const Gradients& to) {
  for_each_output(call, [&](std::size_t c, std::size_t e) { to.bias[c] += dy[e]; });
  for_each_product(op, call, [&](std::size_t i, std::size_t w, std::size_t o) {
    to.weight[w] += dy[o] * call.x[i];
    to.x[i] += dy[o] * call.weight[w];
  });
}

void forward(const Dropout& op, const Call& call, double* y) {
  DropoutMask mask(call.seed, call.operation, op.probability);
  for_each_output(call, [&](std::size_t, std::size_t e) {
    y[e] = call.training ? call.x[e] * mask.next() : call.x[e];
  });
}
void backward(const Dropout& op, const Call& call, const double* dy, const Gradients& to) {
  DropoutMask mask(call.seed, call.operation, op.probability);
  for_each_output(call, [&](std::size_t, std::size_t e) { to.x[e] += dy[e] * mask.next(); });
}

// The loss has its own function below; the others are refused by compile().
template <class Other>
void forward(const Other&, const Call&, double*) {}
template <class Other>
void backward(const Other&, const Call&, const double*, const Gradients&) {}

}  // namespace

void forward(const OperationKind& kind, const Call& call, double* y) {
  std::visit([&](const auto& op) { forward(op, call, y); }, kind);
}
void backward(const OperationKind& kind, const Call& call, const double* dy, const Gradients& to) {
  std::visit([&](const auto& op) { backward(op, call, dy, to); }, kind);
}

Evaluation softmax_cross_entropy(std::span<const double> logits, std::size_t classes,
                                 std::span<const std::int32_t> labels, double* dlogits) {
  Evaluation sum;
  std::vector<double> exponentials(classes);
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const std::span<const double> row = logits.subspan(n * classes, classes);
    const auto largest = std::max_element(row.begin(), row.end());  // of equals, the first
    const std::size_t label = static_cast<std::size_t>(labels[n]);
    double total = 0;
    for (std::size_t c = 0; c < classes; ++c)
      total += exponentials[c] = std::exp(row[c] - *largest);
    sum.loss_sum += std::log(total) - (row[label] - *largest);
    sum.errors += static_cast<std::size_t>(largest - row.begin()) != label;
    sum.images += 1;
    if (dlogits == nullptr) continue;
    for (std::size_t c = 0; c < classes; ++c)
      dlogits[n * classes + c] =
          (exponentials[c] / total - (c == label ? 1.0 : 0.0)) / static_cast<double>(labels.size());
  }
  return sum;
}

}  // namespace paceline::reference
