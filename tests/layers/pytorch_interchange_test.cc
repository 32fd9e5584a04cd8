// Checkpoints that go to PyTorch and back, and what both sides compute from them. PyTorch's side is
// tests/pytorch/interchange.py, on $PYTHON or /usr/bin/python3.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "paceline/compute/device.h"
#include "paceline/compute/random.h"
#include "paceline/layers/network.h"
#include "paceline/layers/safetensors.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

std::string python() {
  const char* given = std::getenv("PYTHON");
  return given == nullptr ? "/usr/bin/python3" : given;
}

bool has_pytorch() {
  return std::system((python() + " -c 'import torch, torchvision' >/dev/null 2>&1").c_str()) == 0;
}

/// Runs PyTorch's side; what it says goes to the test's own output.
bool run_pytorch(const std::string& what, const TemporaryFolder& folder, const std::string& names) {
  const std::string command =
      fmt::format("OPENBLAS_NUM_THREADS=1 {} {}/interchange.py {} {} {}", python(),
                  PACELINE_PYTORCH_TESTS, what, folder.path().string(), names);
  return std::system(command.c_str()) == 0;
}

Network natural(const std::string& name) {
  const NetworkDescription description = named_network(name).value();
  return Network::named(name, description.image, description.classes).value();
}

Metadata metadata_of(const Network& network) {
  const Shape image = network.image();
  return {{"network", network.name()},
          {"classes", std::to_string(network.classes())},
          {"image", fmt::format("{}x{}x{}", image.height, image.width, image.channels)}};
}

/// Initial values, and running statistics as a training might leave them.
std::vector<float> values_of(const Network& network) {
  const Layout& layout = network.layout();
  std::vector<float> x(layout.all_elements());
  network.initialise(x, 3);
  Rng rng(3);
  for (const Tensor& t : layout.buffers) {
    for (float& value : std::span(x).subspan(t.offset, t.count)) {
      value =
          static_cast<float>(t.name.ends_with("var") ? 0.5 + rng.uniform() : rng.uniform() - 0.5);
    }
  }
  return x;
}

/// A file of PyTorch's side: tensors of four dimensions come as N,H,W,C.
struct Tensors {
  std::vector<float> values;
  Layout layout;

  Tensors(const std::filesystem::path& path,
          const std::vector<std::pair<std::string, std::vector<std::size_t>>>& wanted) {
    for (const auto& [name, dimensions] : wanted) {
      std::size_t count = 1;
      for (const std::size_t dimension : dimensions) count *= dimension;
      layout.tensors.push_back(
          {name, dimensions, layout.elements, count, Shape{.channels = dimensions.back()}});
      layout.elements += (count + 15) / 16 * 16;
    }
    auto read = read_safetensors(path, layout);
    PACELINE_CHECK(read.has_value(), "{}", read.error().message);
    values = std::move(read).value();
  }
  std::span<const float> at(std::string_view name) const {
    const auto t = std::ranges::find(layout.tensors, name, &Tensor::name);
    return std::span(values).subspan(t->offset, t->count);
  }
};

ConstVector parameters(const Network& network, const std::vector<float>& x) {
  return {x.data(), network.layout().elements};
}
ConstVector buffers(const Network& network, const std::vector<float>& x) {
  return {x.data() + network.layout().elements, network.layout().buffer_elements};
}

/// The logits of a file's images, against the file's: by each algorithm, whichever this machine
/// prefers.
void expect_same_logits(const Network& network, const std::vector<float>& x,
                        const std::filesystem::path& file) {
  constexpr std::size_t kImages = 2;
  const Shape image = network.image();
  const Tensors theirs(file, {{"images", {kImages, image.height, image.width, image.channels}},
                              {"logits", {kImages, network.classes()}}});
  const std::span<const float> wanted = theirs.at("logits");
  const std::vector<std::int32_t> labels(kImages);
  for (const char* convolution : {"direct", "winograd"}) {
    const auto device = open_device("cpu", {.convolution = convolution}).value();
    const auto executable =
        device->compile(network.program(), {.batch = kImages, .training = false});
    ASSERT_TRUE(executable) << executable.error().message;
    executable.value()->evaluate(parameters(network, x), buffers(network, x),
                                 {theirs.at("images"), labels});
    const std::span<const float> ours = executable.value()->logits();
    ASSERT_EQ(ours.size(), wanted.size());
    double largest = 1, difference = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      largest = std::max(largest, std::abs(double{wanted[i]}));
      difference = std::max(difference, std::abs(double{ours[i]} - wanted[i]));
    }
    EXPECT_LE(difference / largest, 1e-4)
        << "of logits up to " << largest << ", convolutions " << convolution;
  }
}

TEST(PytorchInterchange, CheckpointsGoBothWaysBitForBitAndGiveTheSameLogits) {
  if (!has_pytorch()) GTEST_SKIP() << python() << " has no torch and torchvision: see tools/setup";
  const TemporaryFolder folder;
  std::string names;
  for (const std::string& name : named_networks()) {
    const Network network = natural(name);
    ASSERT_TRUE(write_safetensors(folder / (name + ".ours"), network.layout(), values_of(network),
                                  metadata_of(network)));
    names += " " + name;
  }
  ASSERT_TRUE(run_pytorch("answer", folder, names));
  for (const std::string& name : named_networks()) {
    SCOPED_TRACE(name);
    const Network network = natural(name);
    expect_same_logits(network, values_of(network), folder / (name + ".ours.logits"));
    const auto theirs = read_safetensors(folder / (name + ".theirs"), network.layout());
    ASSERT_TRUE(theirs) << theirs.error().message;
    expect_same_logits(network, theirs.value(), folder / (name + ".theirs.logits"));
    ASSERT_TRUE(write_safetensors(folder / (name + ".back"), network.layout(), theirs.value(),
                                  metadata_of(network)));
  }
  EXPECT_TRUE(run_pytorch("compare", folder, names));
}

TEST(PytorchInterchange, TwentyStepsTrackPytorchsLosses) {
  if (!has_pytorch()) GTEST_SKIP() << python() << " has no torch and torchvision: see tools/setup";
  constexpr std::size_t kSteps = 20, kBatch = 32;
  const TemporaryFolder folder;
  const std::vector<std::string> names{"lenet", "resnet20"};
  for (const std::string& name : names) {
    const Network network = natural(name);
    std::vector<float> x(network.layout().all_elements());
    network.initialise(x, 3);
    ASSERT_TRUE(
        write_safetensors(folder / (name + ".ours"), network.layout(), x, metadata_of(network)));
  }
  ASSERT_TRUE(run_pytorch("train", folder, "lenet resnet20"));
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const Network network = natural(name);
    const Layout& layout = network.layout();
    const Shape image = network.image();
    const Tensors theirs(folder / (name + ".steps"),
                         {{"images", {kSteps * kBatch, image.height, image.width, image.channels}},
                          {"labels", {kSteps * kBatch}},
                          {"losses", {kSteps}},
                          {"rate", {1}}});
    std::vector<float> x = read_safetensors(folder / (name + ".ours"), layout).value();
    std::vector<float> momentum(layout.elements), gradient(layout.elements);
    const Vector p{x.data(), layout.elements},
        b{x.data() + layout.elements, layout.buffer_elements}, m{momentum.data(), momentum.size()},
        g{gradient.data(), gradient.size()};
    const auto device = open_device("cpu", {}).value();
    const auto executable =
        device->compile(network.program(), {.batch = kBatch, .deterministic = true});
    ASSERT_TRUE(executable) << executable.error().message;
    const Sgd sgd{.learning_rate = theirs.at("rate")[0], .momentum = 0.9, .weight_decay = 1e-4};
    for (std::size_t step = 0; step < kSteps; ++step) {
      std::vector<std::int32_t> labels;
      for (const float label : theirs.at("labels").subspan(step * kBatch, kBatch))
        labels.push_back(static_cast<std::int32_t>(label));
      const std::size_t pixels = kBatch * image.count();
      const double loss = executable.value()->train_step(
          p, b, g, {theirs.at("images").subspan(step * pixels, pixels), labels}, step);
      EXPECT_NEAR(loss, theirs.at("losses")[step], 1e-3) << "step " << step;
      device->math().update(sgd, p, m, g, {});
    }
    // Far more than the losses may differ by: the steps were steps.
    EXPECT_LT(theirs.at("losses")[kSteps - 1], theirs.at("losses")[0] - 0.1);
  }
}

}  // namespace
}  // namespace paceline
