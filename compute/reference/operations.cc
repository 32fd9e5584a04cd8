#include "paceline/compute/reference/operations_internal.h"

#include <algorithm>
#include <cmath>
#include <optional>
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
  for_each_output(call, [&](std::size_t c, std::size_t e) { y[e] = op.bias ? call.bias[c] : 0; });
  for_each_product(op, call, [&](std::size_t i, std::size_t w, std::size_t o) {
    y[o] += call.x[i] * call.weight[w];
  });
}
void backward(const Convolution& op, const Call& call, const double* dy, const Gradients& to) {
  if (op.bias) for_each_output(call, [&](std::size_t c, std::size_t e) { to.bias[c] += dy[e]; });
  for_each_product(op, call, [&](std::size_t i, std::size_t w, std::size_t o) {
    to.weight[w] += dy[o] * call.x[i];
    to.x[i] += dy[o] * call.weight[w];
  });
}

/// What BatchNorm knows of each channel.
struct Moments {
  std::vector<double> mean, variance;  // the variance biased
};
/// Of the batch.
Moments moments(const Call& call) {
  Moments of{std::vector<double>(call.in.channels), std::vector<double>(call.in.channels)};
  const double count = static_cast<double>(call.images * call.in.height * call.in.width);
  for_each_output(call, [&](std::size_t c, std::size_t e) { of.mean[c] += call.x[e] / count; });
  for_each_output(call, [&](std::size_t c, std::size_t e) {
    of.variance[c] += (call.x[e] - of.mean[c]) * (call.x[e] - of.mean[c]) / count;
  });
  return of;
}
/// Those that were kept.
Moments running_moments(const Call& call) {
  return {{call.running_mean, call.running_mean + call.in.channels},
          {call.running_variance, call.running_variance + call.in.channels}};
}
void forward(const BatchNorm& op, const Call& call, double* y) {
  const Moments of = call.batch_statistics ? moments(call) : running_moments(call);
  for_each_output(call, [&](std::size_t c, std::size_t e) {
    const double normalised = (call.x[e] - of.mean[c]) / std::sqrt(of.variance[c] + op.epsilon);
    y[e] = call.weight[c] * normalised + call.bias[c];
  });
}
// Mean and variance depend on every value of the channel, so that the gradient at x is what is left
// of dy without its mean and without its projection on the normalised values.
void backward(const BatchNorm& op, const Call& call, const double* dy, const Gradients& to) {
  const Moments of = moments(call);
  const double count = static_cast<double>(call.images * call.in.height * call.in.width);
  const auto normalised = [&](std::size_t c, std::size_t e) {
    return (call.x[e] - of.mean[c]) / std::sqrt(of.variance[c] + op.epsilon);
  };
  std::vector<double> mean_dy(call.in.channels), projection(call.in.channels);
  for_each_output(call, [&](std::size_t c, std::size_t e) {
    to.bias[c] += dy[e];
    to.weight[c] += dy[e] * normalised(c, e);
    mean_dy[c] += dy[e] / count;
    projection[c] += dy[e] * normalised(c, e) / count;
  });
  for_each_output(call, [&](std::size_t c, std::size_t e) {
    to.x[e] += call.weight[c] / std::sqrt(of.variance[c] + op.epsilon) *
               (dy[e] - mean_dy[c] - normalised(c, e) * projection[c]);
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
          std::optional<std::size_t> best;
          for (std::size_t ky = 0; ky < op.kernel; ++ky)
            for (std::size_t kx = 0; kx < op.kernel; ++kx) {
              const std::size_t iy = oy * op.stride + ky - op.padding;  // unsigned, as above
              const std::size_t ix = ox * op.stride + kx - op.padding;
              if (iy >= call.in.height || ix >= call.in.width) continue;
              const std::size_t e = at(call.in, n, iy, ix, c);
              if (!best || call.x[e] > call.x[*best]) best = e;
            }
          f(*best, at(call.out, n, oy, ox, c));
        }
}
void forward(const MaxPool& op, const Call& call, double* y) {
  for_each_maximum(op, call, [&](std::size_t best, std::size_t o) { y[o] = call.x[best]; });
}
void backward(const MaxPool& op, const Call& call, const double* dy, const Gradients& to) {
  for_each_maximum(op, call, [&](std::size_t best, std::size_t o) { to.x[best] += dy[o]; });
}

/// Calls f(input element, output element) for every element of every window.
template <class F>
void for_each_in_window(const AveragePool& op, const Call& call, F f) {
  for (std::size_t n = 0; n < call.images; ++n)
    for (std::size_t oy = 0; oy < call.out.height; ++oy)
      for (std::size_t ox = 0; ox < call.out.width; ++ox)
        for (std::size_t c = 0; c < call.out.channels; ++c)
          for (std::size_t ky = 0; ky < op.kernel; ++ky)
            for (std::size_t kx = 0; kx < op.kernel; ++kx)
              f(at(call.in, n, oy * op.stride + ky, ox * op.stride + kx, c),
                at(call.out, n, oy, ox, c));
}
void forward(const AveragePool& op, const Call& call, double* y) {
  const double window = static_cast<double>(op.kernel * op.kernel);
  for_each_output(call, [&](std::size_t, std::size_t e) { y[e] = 0; });
  for_each_in_window(op, call, [&](std::size_t i, std::size_t o) { y[o] += call.x[i] / window; });
}
void backward(const AveragePool& op, const Call& call, const double* dy, const Gradients& to) {
  const double window = static_cast<double>(op.kernel * op.kernel);
  for_each_in_window(op, call, [&](std::size_t i, std::size_t o) { to.x[i] += dy[o] / window; });
}

/// Calls f(input element, output element) for every pixel of every channel.
template <class F>
void for_each_pixel(const GlobalAveragePool&, const Call& call, F f) {
  for (std::size_t n = 0; n < call.images; ++n)
    for (std::size_t y = 0; y < call.in.height; ++y)
      for (std::size_t x = 0; x < call.in.width; ++x)
        for (std::size_t c = 0; c < call.in.channels; ++c)
          f(at(call.in, n, y, x, c), at(call.out, n, 0, 0, c));
}
void forward(const GlobalAveragePool& op, const Call& call, double* y) {
  const double pixels = static_cast<double>(call.in.height * call.in.width);
  for_each_output(call, [&](std::size_t, std::size_t e) { y[e] = 0; });
  for_each_pixel(op, call, [&](std::size_t i, std::size_t o) { y[o] += call.x[i] / pixels; });
}
void backward(const GlobalAveragePool& op, const Call& call, const double* dy,
              const Gradients& to) {
  const double pixels = static_cast<double>(call.in.height * call.in.width);
  for_each_pixel(op, call, [&](std::size_t i, std::size_t o) { to.x[i] += dy[o] / pixels; });
}

void forward(const Add&, const Call& call, double* y) {
  for_each_output(call, [&](std::size_t, std::size_t e) { y[e] = call.x[e] + call.other[e]; });
}
void backward(const Add&, const Call& call, const double* dy, const Gradients& to) {
  for_each_output(call, [&](std::size_t, std::size_t e) { to.x[e] += dy[e]; });
  for_each_output(call, [&](std::size_t, std::size_t e) { to.other[e] += dy[e]; });
}

/// Calls f(input element, output element) for every pixel that goes through.
template <class F>
void for_each_kept(const PaddedShortcut& op, const Call& call, F f) {
  const std::size_t before = (call.out.channels - call.in.channels) / 2;
  for (std::size_t n = 0; n < call.images; ++n)
    for (std::size_t y = 0; y < call.out.height; ++y)
      for (std::size_t x = 0; x < call.out.width; ++x)
        for (std::size_t c = 0; c < call.in.channels; ++c)
          f(at(call.in, n, y * op.stride, x * op.stride, c), at(call.out, n, y, x, before + c));
}
void forward(const PaddedShortcut& op, const Call& call, double* y) {
  for_each_output(call, [&](std::size_t, std::size_t e) { y[e] = 0; });
  for_each_kept(op, call, [&](std::size_t i, std::size_t o) { y[o] = call.x[i]; });
}
void backward(const PaddedShortcut& op, const Call& call, const double* dy, const Gradients& to) {
  for_each_kept(op, call, [&](std::size_t i, std::size_t o) { to.x[i] += dy[o]; });
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
    y[e] = call.drops ? call.x[e] * mask.next() : call.x[e];
  });
}
void backward(const Dropout& op, const Call& call, const double* dy, const Gradients& to) {
  DropoutMask mask(call.seed, call.operation, op.probability);
  for_each_output(call, [&](std::size_t, std::size_t e) { to.x[e] += dy[e] * mask.next(); });
}

// The loss has a function of its own below.
void forward(const SoftmaxCrossEntropy&, const Call&, double*) {}
void backward(const SoftmaxCrossEntropy&, const Call&, const double*, const Gradients&) {}

}  // namespace

void forward(const OperationKind& kind, const Call& call, double* y) {
  std::visit([&](const auto& op) { forward(op, call, y); }, kind);
}
void backward(const OperationKind& kind, const Call& call, const double* dy, const Gradients& to) {
  std::visit([&](const auto& op) { backward(op, call, dy, to); }, kind);
}

void move_running_statistics(const Call& call, double share, float* mean, float* variance) {
  const Moments of = moments(call);
  const double count = static_cast<double>(call.images * call.in.height * call.in.width);
  const double unbiased = count > 1 ? count / (count - 1) : 1;
  const auto move = [&](float& running, double to) {
    running = static_cast<float>(std::isfinite(running) ? (1 - share) * running + share * to : to);
  };
  for (std::size_t c = 0; c < call.in.channels; ++c) {
    move(mean[c], of.mean[c]);
    move(variance[c], unbiased * of.variance[c]);
  }
}

Evaluation softmax_cross_entropy(std::span<const double> logits, std::size_t classes,
                                 std::span<const std::int32_t> labels, double smoothing,
                                 double* dlogits) {
  Evaluation sum;
  std::vector<double> log_softmax(classes);
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const std::span<const double> row = logits.subspan(n * classes, classes);
    const auto largest = std::max_element(row.begin(), row.end());  // of equals, the first
    const std::size_t label = static_cast<std::size_t>(labels[n]);
    double total = 0;
    for (const double logit : row) total += std::exp(logit - *largest);
    for (std::size_t c = 0; c < classes; ++c) log_softmax[c] = row[c] - *largest - std::log(total);
    const auto target = [&](std::size_t c) {
      return (c == label ? 1 - smoothing : 0) + smoothing / static_cast<double>(classes);
    };
    for (std::size_t c = 0; c < classes; ++c)
      if (target(c) != 0) sum.loss_sum -= target(c) * log_softmax[c];
    sum.errors += static_cast<std::size_t>(largest - row.begin()) != label;
    sum.images += 1;
    if (dlogits == nullptr) continue;
    for (std::size_t c = 0; c < classes; ++c)
      dlogits[n * classes + c] =
          (std::exp(log_softmax[c]) - target(c)) / static_cast<double>(labels.size());
  }
  return sum;
}

}  // namespace paceline::reference
