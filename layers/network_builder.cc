#include <limits>
#include <map>
#include <numeric>

#include "paceline/layers/nearest.h"
#include "paceline/layers/network_builder_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kAlignment = 16;  // elements: 64 bytes, a cache line and an AVX-512 register
// Far above any network, and low enough that no product of them overflows 64 bits.
constexpr std::size_t kLargestImage = 1 << 12, kLargestWindow = 1 << 11, kMostChannels = 1 << 20,
                      kMostElements = std::size_t{1} << 31;
static_assert(std::numeric_limits<std::size_t>::max() / kMostChannels / kMostChannels >
                  kLargestWindow * kLargestWindow,
              "a convolution's weights can be counted");

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

class Builder {
 public:
  Builder(const NetworkDescription& description, const NetworkOptions& options)
      : description_(description), options_(options) {}

  Result<BuiltNetwork> build() &&;

 private:
  Result<> check_options() const;
  Result<> append(const LayerDescription& layer);
  Result<> check_ends();

  Result<Shape> output_of(const LayerDescription& layer, const Shape& in) const;
  Result<Shape> windows(const LayerDescription& layer, const Shape& in, std::size_t kernel,
                        std::size_t stride, std::size_t padding, std::size_t channels) const;
  Result<std::size_t> find(const LayerDescription& layer, const std::string& name) const;

  Result<> add_tensors(Operation& operation, const Shape& in, const Shape& out);
  std::size_t parameter(std::string name, std::vector<std::size_t> dimensions,
                        Shape flattened = {});
  std::size_t buffer(std::string name, std::size_t count);

  /// Where the layer stands, for the start of a message: "my.net:7", "resnet20".
  std::string place(const LayerDescription& layer) const {
    if (description_.file.empty()) return description_.name;
    return fmt::format("{}:{}", description_.file, layer.line);
  }
  template <class... Args>
  Error refuse(const LayerDescription& layer, fmt::format_string<Args...> text,
               Args&&... args) const {
    return fail(std::errc::invalid_argument, "{}: {} {}", place(layer), layer.name,
                fmt::format(text, std::forward<Args>(args)...));
  }

  const NetworkDescription& description_;
  const NetworkOptions& options_;
  BuiltNetwork built_;
  std::map<std::string, std::size_t, std::less<>> written_;  ///< activations by layer
  std::vector<bool> read_;                                   ///< by activation
};

std::string text(const Shape& s) { return fmt::format("{}x{}x{}", s.channels, s.height, s.width); }

Tensor tensor(std::string name, std::vector<std::size_t> dimensions, Shape flattened) {
  const std::size_t count =
      std::accumulate(dimensions.begin(), dimensions.end(), std::size_t{1}, std::multiplies<>());
  return {.name = std::move(name),
          .dimensions = std::move(dimensions),
          .offset = 0,
          .count = count,
          .flattened = flattened};
}

std::size_t padded(std::size_t count) { return (count + kAlignment - 1) / kAlignment * kAlignment; }

Result<BuiltNetwork> Builder::build() && {
  PACELINE_TRYV(check_options());
  built_.program.activations.push_back(options_.image);
  written_.emplace("input", 0);
  read_.push_back(false);
  for (const LayerDescription& layer : description_.layers) PACELINE_TRYV(append(layer));
  PACELINE_TRYV(check_ends());
  Program& program = built_.program;
  program.operations.push_back(
      {.name = "loss",
       .kind = SoftmaxCrossEntropy{.label_smoothing = options_.label_smoothing},
       .input = program.activations.size() - 1,
       .output = program.activations.size()});
  program.activations.push_back(program.activations.back());
  Layout& layout = built_.layout;
  for (Tensor& t : layout.buffers) t.offset += layout.elements;
  program.parameter_elements = layout.elements;
  program.buffer_elements = layout.buffer_elements;
  return std::move(built_);
}

Result<> Builder::check_options() const {
  const std::string& name = description_.file.empty() ? description_.name : description_.file;
  const Shape& image = options_.image;
  const std::size_t crop = description_.crop;
  if (image.channels == 0 || image.height == 0 || image.width == 0 ||
      image.channels > kMostChannels || std::max(image.height, image.width) > kLargestImage) {
    return fail(std::errc::invalid_argument,
                "{}: there are no images of {}x{}x{} (channels, height, width): give images of 1x1 "
                "to {}x{}",
                name, image.channels, image.height, image.width, kLargestImage, kLargestImage);
  }
  if (crop != 0 && (image.height != crop || image.width != crop)) {
    return fail(std::errc::invalid_argument,
                "{} reads {}x{} images, which cannot be had from {}x{}: choose another data set or "
                "network",
                name, crop, crop, image.height, image.width);
  }
  if (options_.classes < 2 || options_.classes > kMostChannels) {
    return fail(std::errc::invalid_argument, "{}: {} classes leave nothing to learn: give 2 to {}",
                name, options_.classes, kMostChannels);
  }
  if (!(options_.label_smoothing >= 0 && options_.label_smoothing < 1)) {
    return fail(std::errc::invalid_argument, "{}: label smoothing {} is not in [0, 1)", name,
                options_.label_smoothing);
  }
  if (description_.layers.empty()) {
    return fail(std::errc::invalid_argument, "{}: holds no layers: end with 'linear classes'",
                name);
  }
  return success();
}

Result<> Builder::append(const LayerDescription& layer) {
  Program& program = built_.program;
  const std::size_t output = program.activations.size();
  Operation operation{
      .name = layer.name, .kind = layer.kind, .input = output - 1, .output = output};
  if (!layer.input.empty()) {
    PACELINE_TRY(operation.input, find(layer, layer.input));
  }
  read_[operation.input] = true;
  const Shape in = program.activations[operation.input];
  if (std::holds_alternative<Add>(layer.kind)) {
    PACELINE_TRY(operation.other, find(layer, layer.other));
    read_[operation.other] = true;
    if (const Shape& other = program.activations[operation.other]; other != in) {
      return refuse(layer,
                    "cannot add {} of {} to {}: both need the same channels, height and width, "
                    "which a shortcut or a 1x1 convolution on one of the branches can make",
                    text(other), layer.other, text(in));
    }
  }
  PACELINE_TRY(const Shape out, output_of(layer, in));
  if (out.count() > kMostElements) {
    return refuse(layer, "would make {} of one image: that is more than {} values", text(out),
                  kMostElements);
  }
  if (!written_.emplace(layer.name, output).second || layer.name == "loss") {
    return refuse(layer, "is the name of {}: call this layer otherwise",
                  layer.name == "loss"    ? "the network's loss"
                  : layer.name == "input" ? "the images"
                                          : "a layer before it");
  }
  PACELINE_TRYV(add_tensors(operation, in, out));
  program.operations.push_back(std::move(operation));
  program.activations.push_back(out);
  read_.push_back(false);
  return success();
}

Result<std::size_t> Builder::find(const LayerDescription& layer, const std::string& name) const {
  const auto found = written_.find(name);
  if (found != written_.end()) return found->second;
  std::vector<std::string> known;
  bool later = false;
  for (const auto& [other, activation] : written_) known.push_back(other);
  for (const LayerDescription& other : description_.layers) later = later || other.name == name;
  const std::string meant = nearest(name, known);
  return refuse(layer, "reads '{}', {}{}: name one of the layers above, or 'input'", name,
                later ? "which does not come before it" : "which is no layer",
                meant.empty() || later ? "" : fmt::format(" (did you mean '{}'?)", meant));
}

Result<Shape> Builder::windows(const LayerDescription& layer, const Shape& in, std::size_t kernel,
                               std::size_t stride, std::size_t padding,
                               std::size_t channels) const {
  if (kernel < 1 || kernel > kLargestWindow || stride < 1 || stride > kLargestWindow ||
      padding > kLargestWindow) {
    return refuse(layer,
                  "has kernel {}, stride {}, padding {}: give kernel and stride from 1 to "
                  "{}, padding from 0 to {}",
                  kernel, stride, padding, kLargestWindow, kLargestWindow);
  }
  if (channels < 1 || channels > kMostChannels) {
    return refuse(layer, "has {} channels: give 1 to {}", channels, kMostChannels);
  }
  const std::size_t height = in.height + 2 * padding, width = in.width + 2 * padding;
  if (height < kernel || width < kernel) {
    return refuse(layer,
                  "needs {}x{} pixels, but gets {}x{}{} from {}x{} images: choose larger images or "
                  "another {}",
                  kernel, kernel, height, width, padding > 0 ? " (with padding)" : "",
                  options_.image.height, options_.image.width,
                  description_.file.empty() ? "network" : "kernel");
  }
  return Shape{.channels = channels,
               .height = (height - kernel) / stride + 1,
               .width = (width - kernel) / stride + 1};
}

Result<Shape> Builder::output_of(const LayerDescription& layer, const Shape& in) const {
  return std::visit(
      Overloaded{
          [&](const Convolution& c) {
            return windows(layer, in, c.kernel, c.stride, c.padding, layer.channels);
          },
          [&](const MaxPool& p) -> Result<Shape> {
            if (2 * p.padding > p.kernel) {
              return refuse(layer, "has padding {}: give at most half of its {}x{} window",
                            p.padding, p.kernel, p.kernel);
            }
            return windows(layer, in, p.kernel, p.stride, p.padding, in.channels);
          },
          [&](const AveragePool& p) {
            return windows(layer, in, p.kernel, p.stride, 0, in.channels);
          },
          [&](const GlobalAveragePool&) -> Result<Shape> { return Shape{.channels = in.channels}; },
          [&](const PaddedShortcut& s) -> Result<Shape> {
            if (layer.channels < in.channels || (layer.channels - in.channels) % 2 != 0) {
              return refuse(layer,
                            "cannot make {} channels of {}: zeros are added in equal numbers "
                            "before and after, so give {} and an even number more",
                            layer.channels, in.channels, in.channels);
            }
            return windows(layer, in, 1, s.stride, 0, layer.channels);
          },
          [&](const Linear&) -> Result<Shape> {
            const std::size_t outputs = layer.channels == 0 ? options_.classes : layer.channels;
            if (outputs > kMostChannels) {
              return refuse(layer, "has {} outputs: give 1 to {}", outputs, kMostChannels);
            }
            return Shape{.channels = outputs};
          },
          [&](const Dropout& d) -> Result<Shape> {
            if (!(d.probability >= 0 && d.probability < 1)) {
              return refuse(layer, "drops with probability {}: give one in [0, 1)", d.probability);
            }
            return in;
          },
          [&](const BatchNorm& b) -> Result<Shape> {
            if (!(b.epsilon > 0 && b.momentum >= 0 && b.momentum <= 1)) {
              return refuse(layer, "has epsilon {}, momentum {}: give one above 0, one in [0, 1]",
                            b.epsilon, b.momentum);
            }
            return in;
          },
          [&](const SoftmaxCrossEntropy&) -> Result<Shape> {
            return refuse(layer, "is a loss, which every network has: leave it out");
          },
          [&](const auto&) -> Result<Shape> { return in; },  // Relu, Add
      },
      layer.kind);
}

Result<> Builder::add_tensors(Operation& operation, const Shape& in, const Shape& out) {
  const std::string& name = operation.name;
  const ParameterCounts counts = parameter_counts(operation.kind, in, out);
  if (built_.layout.elements + counts.weight > kMostElements) {
    return fail(std::errc::invalid_argument,
                "{}: with the {} weights of {} the network has more than {} parameters: make its "
                "layers smaller",
                place(description_.layers[built_.program.operations.size()]), counts.weight, name,
                kMostElements);
  }
  if (const auto* c = std::get_if<Convolution>(&operation.kind)) {
    operation.weight =
        parameter(name + ".weight", {out.channels, c->kernel, c->kernel, in.channels});
  } else if (std::holds_alternative<Linear>(operation.kind)) {
    operation.weight = parameter(name + ".weight", {out.channels, in.count()}, in);
  } else if (std::holds_alternative<BatchNorm>(operation.kind)) {
    operation.weight = parameter(name + ".weight", {in.channels});
    operation.running_mean = buffer(name + ".running_mean", in.channels);
    operation.running_variance = buffer(name + ".running_var", in.channels);
  }
  if (counts.bias > 0) operation.bias = parameter(name + ".bias", {counts.bias});
  return success();
}

std::size_t Builder::parameter(std::string name, std::vector<std::size_t> dimensions,
                               Shape flattened) {
  Layout& layout = built_.layout;
  Tensor& t =
      layout.tensors.emplace_back(tensor(std::move(name), std::move(dimensions), flattened));
  t.offset = layout.elements;
  layout.parameters += t.count;
  layout.elements += padded(t.count);
  return t.offset;
}

std::size_t Builder::buffer(std::string name, std::size_t count) {
  Layout& layout = built_.layout;
  Tensor& t = layout.buffers.emplace_back(tensor(std::move(name), {count}, {}));
  t.offset = layout.buffer_elements;  // from the buffers' start, until P is known
  layout.buffer_elements += padded(count);
  return t.offset;
}

Result<> Builder::check_ends() {
  const LayerDescription& last = description_.layers.back();
  const Shape& logits = built_.program.activations.back();
  if (logits != Shape{.channels = options_.classes}) {
    return refuse(last, "is the last layer and makes {} for {} classes: end with 'linear classes'",
                  text(logits), options_.classes);
  }
  for (std::size_t i = 0; i + 1 < description_.layers.size(); ++i) {
    if (!read_[i + 1]) {
      return refuse(description_.layers[i],
                    "is read by no layer: add it somewhere, or leave it out");
    }
  }
  if (!read_[0]) {
    return fail(std::errc::invalid_argument, "{}: no layer reads the images", place(last));
  }
  if (built_.layout.elements == 0) {
    return refuse(last, "ends a network without parameters: end with 'linear classes'");
  }
  return success();
}

}  // namespace

Result<BuiltNetwork> build_network(const NetworkDescription& description,
                                   const NetworkOptions& options) {
  return Builder(description, options).build();
}

}  // namespace paceline
