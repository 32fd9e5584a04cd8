#include "compute/cuda/device_subject.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>
#include <utility>

#include "paceline/compute/random.h"
#include "test_seed.h"

namespace paceline::test {

std::string name_of(const Subject& subject) {
  const char* const precision = subject.precision == Precision::f32    ? "f32"
                                : subject.precision == Precision::tf32 ? "tf32"
                                                                       : "bf16";
  return fmt::format("{}_{}", subject.device, precision);
}

std::vector<Subject> subjects() {
  return {{"cpu", Precision::f32},
          {"cuda", Precision::f32},
          {"cuda", Precision::tf32},
          {"cuda", Precision::bf16}};
}

std::uint64_t input_seed(const Subject& subject) {
  static const std::uint64_t fresh = given_test_seed().value_or(std::random_device{}());
  const bool fixed = !given_test_seed() && std::string_view(subject.device) == "cpu";
  const std::uint64_t seed = fixed ? 0 : fresh;
  RepeatCommand::keep(seed);
  return seed;
}

namespace {

template <class T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(result).value();
}

}  // namespace

std::unique_ptr<Executable> compiled(Device& device, const Program& program,
                                     const CompileOptions& options) {
  return value_of(device.compile(program, options));
}

DeviceVector::DeviceVector(Device& device, std::size_t count)
    : device_(&device),
      count_(count),
      memory_(value_of(device.allocate((count + kPastTheEnd) * sizeof(float)))) {
  // fill() may be of one value in every scalar type; the poison must be this one.
  const std::vector<float> poison(count + kPastTheEnd, std::nanf(""));
  device_->math().copy({memory_->data(), poison.size()}, {poison.data(), poison.size()});
}

DeviceVector::DeviceVector(Device& device, const std::vector<float>& values)
    : DeviceVector(device, values.size()) {
  assign(values);
}

void DeviceVector::assign(const std::vector<float>& values) {
  PACELINE_CHECK(values.size() == count_, "{} values for {}", values.size(), count_);
  if (count_ > 0) device_->math().copy(view(), {values.data(), values.size()});
}

std::vector<float> DeviceVector::values() const {
  std::vector<float> all(count_ + kPastTheEnd);
  device_->math().copy({all.data(), all.size()}, {memory_->data(), all.size()});
  for (std::size_t e = count_; e < all.size(); ++e)
    EXPECT_TRUE(std::isnan(all[e])) << "element " << e << " past the end of " << count_;
  all.resize(count_);
  return all;
}

Step train(Device& device, Executable& executable, const std::vector<float>& x,
           const std::vector<float>& buffers, const Batch& batch, std::uint64_t seed) {
  DeviceVector parameters(device, x), statistics(device, buffers), gradient(device, x.size());
  Step step;
  step.loss =
      executable.train_step(parameters.view(), statistics.view(), gradient.view(), batch, seed);
  const std::span<const float> logits = executable.logits();
  step.logits.assign(logits.begin(), logits.end());
  step.gradient = gradient.values();
  step.buffers = statistics.values();
  return step;
}

// f32 differs by the order of sums alone, and by Winograd where cuDNN takes it: 1e-5 is usual. TF32 rounds
// the factors of every product to 2^-11, bf16 the activations, their gradients and the weights to 2^-9, layer
// after layer, which the square root of a few tens of roundings makes 1e-2 and 5e-2 at most. A ReLU or a
// maximum that changes sides, and a BatchNorm of small variance, make more of it than any fixed number; so does
// what the reference makes of weights and images that are off by twice the rounding: four times that is allowed.
Tolerance tolerance_of(Precision precision) {
  switch (precision) {
    case Precision::f32:
      return {1e-4, 4, 0x1p-23};
    case Precision::tf32:
      return {1e-2, 4, 0x1p-10};
    case Precision::bf16:
      break;
  }
  return {5e-2, 4, 0x1p-8};
}

std::vector<float> nearby(std::vector<float> values, double relative, std::uint64_t draw) {
  Rng rng(draw, 91);
  for (float& value : values)
    value =
        static_cast<float>(static_cast<double>(value) * (1 + relative * (2 * rng.uniform() - 1)));
  return values;
}

double norm(std::span<const float> values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum);
}

double distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t e = 0; e < a.size(); ++e) {
    const double away = static_cast<double>(a[e]) - static_cast<double>(b[e]);
    sum += away * away;
  }
  return std::sqrt(sum);
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double product = 0;
  for (std::size_t e = 0; e < a.size(); ++e)
    product += static_cast<double>(a[e]) * static_cast<double>(b[e]);
  const double norms = norm(a) * norm(b);
  return norms > 0 ? product / norms : 1;
}

void Comparison::near(std::span<const float> got, std::span<const float> wanted,
                      const std::vector<std::vector<float>>& around, double scale,
                      const std::string& what) {
  if (got.size() != wanted.size()) {
    complaints_.push_back(fmt::format("{}: {} elements, not {}", what, got.size(), wanted.size()));
    return;
  }
  double most = 0;
  for (const std::vector<float>& other : around) most = std::max(most, distance(other, wanted));
  const auto bad = std::ranges::find_if(got, [](float v) { return !std::isfinite(v); });
  if (bad != got.end()) {
    complaints_.push_back(fmt::format("{}: element {} is {}", what, bad - got.begin(), *bad));
    return;
  }
  const double allowed =
      tolerance_.relative * std::max(norm(wanted), scale) + tolerance_.of_nearby * most + 1e-7;
  if (const double away = distance(got, wanted); away > allowed)
    complaints_.push_back(fmt::format(
        "{}: {:.3g} away from norm {:.3g}; {:.3g} are allowed, of nearby inputs it moves by {:.3g}",
        what, away, norm(wanted), allowed, most));
}

void Comparison::gradient_near(const Program& program, std::span<const float> got,
                               std::span<const float> wanted,
                               const std::vector<std::vector<float>>& around) {
  const double whole = norm(wanted);
  std::vector<bool> padding(wanted.size(), true);
  for (const Operation& op : program.operations) {
    const ParameterCounts counts =
        parameter_counts(op.kind, program.activations[op.input], program.activations[op.output]);
    const double both = std::hypot(norm(wanted.subspan(op.weight, counts.weight)),
                                   norm(wanted.subspan(op.bias, counts.bias)));
    const auto tensor = [&](std::size_t first, std::size_t count, const char* name) {
      if (count == 0) return;
      std::fill_n(padding.begin() + static_cast<std::ptrdiff_t>(first), count, false);
      const bool rounding = norm(wanted.subspan(first, count)) < 1e-6 * both;
      const double scale = std::max((rounding ? 1.0 : 0.1) * both, 0.01 * whole);
      std::vector<std::vector<float>> parts;
      for (const std::vector<float>& other : around)
        parts.emplace_back(other.begin() + static_cast<std::ptrdiff_t>(first),
                           other.begin() + static_cast<std::ptrdiff_t>(first + count));
      near(got.subspan(first, count), wanted.subspan(first, count), parts, scale,
           fmt::format("gradient of {}.{}", op.name, name));
    };
    tensor(op.weight, counts.weight, "weight");
    tensor(op.bias, counts.bias, "bias");
  }
  for (std::size_t e = 0; e < padding.size(); ++e)
    if (padding[e] && got[e] != 0)
      complaints_.push_back(fmt::format("padding of the gradient: element {} is {}", e, got[e]));
}

double loss_of(std::span<const float> logits, std::span<const std::int32_t> labels,
               double label_smoothing) {
  const std::size_t classes = logits.size() / labels.size();
  double loss = 0;
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const auto row = logits.subspan(n * classes, classes);
    const double most = static_cast<double>(*std::ranges::max_element(row));
    double total = 0, mean = 0;
    for (const float logit : row) {
      total += std::exp(static_cast<double>(logit) - most);
      mean += static_cast<double>(logit) / static_cast<double>(classes);
    }
    const double at_label = static_cast<double>(row[static_cast<std::size_t>(labels[n])]);
    loss += most + std::log(total) - (1 - label_smoothing) * at_label - label_smoothing * mean;
  }
  return loss / static_cast<double>(labels.size());
}

std::uint64_t errors_of(std::span<const float> logits, std::span<const std::int32_t> labels) {
  const std::size_t classes = logits.size() / labels.size();
  std::uint64_t errors = 0;
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const auto row = logits.subspan(n * classes, classes);
    errors += std::ranges::max_element(row) - row.begin() != labels[n];
  }
  return errors;
}

std::unique_ptr<Device> open_subject(const Subject& subject, std::string& reason) {
  auto device = open_device(subject.device, {.precision = subject.precision});
  if (device) return std::move(device).value();
  reason = device.error().message;
  return nullptr;
}

}  // namespace paceline::test
