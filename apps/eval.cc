#include "paceline/apps/eval.h"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "paceline/actors/tester.h"
#include "paceline/apps/decode_threads.h"
#include "paceline/apps/given_network.h"
#include "paceline/apps/given_options.h"
#include "paceline/apps/option_value.h"
#include "paceline/apps/precision_words.h"
#include "paceline/apps/skipped_text.h"
#include "paceline/compute/device.h"
#include "paceline/layers/input/dataset.h"
#include "paceline/layers/network.h"
#include "paceline/layers/network_file.h"
#include "paceline/layers/safetensors.h"

namespace paceline {
namespace {

constexpr std::size_t kMostClasses = 1 << 16, kLargestSide = 1 << 12;

std::vector<OptionName> option_names() {
  std::vector<OptionName> names = {
      {"data", "SPEC", "what to test on (default: what the network was trained on)"},
      {"network", "NAME|FILE.net", "of a file that does not name its network"}};
  for (OptionName& name : given_network_options()) {
    name.help = "with --network: " + name.help;
    names.push_back(std::move(name));
  }
  names.insert(
      names.end(),
      {{"decode-threads", "N", "threads that decode image files (default 1)"},
       {"device", "NAME", "what computes: cpu (default), cuda or reference"},
       {"precision", "f32|tf32|bf16", "what a GPU multiplies in (default f32)"},
       {"threads", "N", "cores to use (default 1)"},
       {"on", "test|train",
        "which images; those to learn from are neither shifted nor mirrored (default test)"},
       {"json", "", "standard output is JSON alone"},
       {"help", "", "this list"}});
  return names;
}

/// "28x28x3" of a checkpoint's metadata: height, width and channels, the order in memory. People and
/// options write channels first.
Result<Shape> parse_stored_image(const std::string& text) {
  Shape image;
  std::string_view rest = text;
  for (std::size_t* side : {&image.height, &image.width, &image.channels}) {
    const std::size_t end = side == &image.channels ? rest.size() : rest.find('x');
    if (end == std::string_view::npos) {
      return fail(std::errc::invalid_argument, "'{}' is no HxWxC", text);
    }
    PACELINE_TRY(*side, parse_count(rest.substr(0, end), 1, kLargestSide));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return image;
}

/// The network that a file says it is of.
Result<Network> described_network(const std::string& file, const Metadata& metadata) {
  for (const char* key : {"image", "classes"}) {
    if (!metadata.contains(key)) {
      return fail(std::errc::invalid_argument,
                  "{}: does not say its '{}': give a leader.safetensors of paceline train", file,
                  key);
    }
  }
  const auto image = parse_stored_image(metadata.at("image"));
  const auto classes = parse_count(metadata.at("classes"), 1, kMostClasses);
  if (!image || !classes) {
    return fail(std::errc::invalid_argument, "{}: its image '{}' or its classes '{}' are damaged",
                file, metadata.at("image"), metadata.at("classes"));
  }
  const auto layers = metadata.find("layers");
  auto description = layers == metadata.end() ? named_network(metadata.at("network"))
                                              : parse_network(layers->second, file);
  if (!description) {
    const std::string before = layers == metadata.end() ? file + ": " : "";
    return Error{description.error().code, before + description.error().message};
  }
  description.value().name = metadata.at("network");  // not the checkpoint's own stem
  return Network::build(std::move(description).value(), {image.value(), classes.value()});
}

/// The network of a file: the file's word for it, or the user's where it says nothing.
Result<Network> network_of(const std::string& file, const Metadata& metadata,
                           const GivenOptions& options) {
  const auto given = options.find("network");
  if (metadata.contains("network")) {
    for (const char* name : {"network", "image", "classes"}) {
      if (options.contains(name)) {
        return fail(std::errc::invalid_argument, "--{}: {} says that itself: leave it out", name,
                    file);
      }
    }
    return described_network(file, metadata);
  }
  if (given == options.end()) {
    return fail(std::errc::invalid_argument,
                "{}: does not say what network it is of: give --network, and --image and --classes "
                "where they are not those that it is meant for",
                file);
  }
  return given_network(given->second.text, options);
}

/// The data that a file was trained on: as the run's config.ini beside it says, which knows where a
/// folder lay; without one, by the name that the file carries.
Result<std::string> trained_on(const std::string& file, const Metadata& metadata) {
  const std::filesystem::path folder = std::filesystem::absolute(file).parent_path();
  for (const auto& run : {folder, folder.parent_path().parent_path()})  // of a checkpoint
    if (auto data = read_ini_value(run / "config.ini", "data")) return *std::move(data);
  if (const auto data = metadata.find("data"); data != metadata.end()) return data->second;
  return fail(std::errc::invalid_argument, "{}: does not say its data: give --data", file);
}

Result<> check_data(const Network& network, const Data& data, unsigned decode_threads) {
  const Shape image = data.test->image, wanted = network.image();
  if (data.test->classes != network.classes()) {
    return fail(std::errc::invalid_argument,
                "--data {}: has {} classes, the network {}: give the data it was trained on",
                data.name, data.test->classes, network.classes());
  }
  if (image.channels != wanted.channels || image.height < wanted.height ||
      image.width < wanted.width) {
    return fail(std::errc::invalid_argument,
                "--data {}: has {}x{}x{} images, the network takes {}x{}x{}: give the data it was "
                "trained on",
                data.name, image.channels, image.height, image.width, wanted.channels,
                wanted.height, wanted.width);
  }
  return check_decode_threads(data, decode_threads);
}

/// @param weights [P + B]
Result<Evaluation> test(Device& device, const Network& network, std::span<const float> weights,
                        const Data& data, unsigned decode_threads) {
  PACELINE_TRY(const auto flat, device.allocate(device.math().bytes(weights.size())));
  device.math().copy({flat->data(), weights.size()}, {weights.data(), weights.size()});
  PACELINE_TRY(const auto tester, Tester::create(device, network, data, false, decode_threads));
  return tester->test({flat->data(), weights.size()});
}

Result<> evaluate_file(const std::string& file, const GivenOptions& options) {
  const std::string device_name = given_text(options, "device", "cpu");
  PACELINE_TRY(const Precision precision, given_precision(options));
  PACELINE_TRY(const std::uint64_t threads, given_count(options, "threads", 1, 4096));
  PACELINE_TRY(const std::uint64_t decode_threads, given_count(options, "decode-threads", 1, 4096));
  PACELINE_TRY(const bool json, given_switch(options, "json"));

  PACELINE_TRY(const Metadata metadata, read_safetensors_metadata(file));
  PACELINE_TRY(const Network network, network_of(file, metadata, options));
  PACELINE_TRY(const std::vector<float> weights, read_safetensors(file, network.layout()));
  std::string spec = given_text(options, "data", "");
  if (spec.empty()) {
    PACELINE_TRY(spec, trained_on(file, metadata));
  }
  PACELINE_TRY(const std::size_t on, parse_word(given_text(options, "on", "test"),
                                                std::vector<std::string>{"test", "train"}));
  PACELINE_TRY(Data data, open_data(spec, {.usual_image_size = network.image().height}));
  if (on == 1) data.test = data.train;
  PACELINE_TRYV(check_data(network, data, static_cast<unsigned>(decode_threads)));
  PACELINE_TRY(const auto device,
               open_device(device_name,
                           {.threads = static_cast<unsigned>(threads), .precision = precision}));
  PACELINE_TRY(const Evaluation sum,
               test(*device, network, weights, data, static_cast<unsigned>(decode_threads)));
  if (sum.images == 0) {
    return fail(std::errc::invalid_argument, "--data {}: has no test image", data.name);
  }

  PACELINE_TRYV(data.usable());
  const SkippedFiles skipped = data.reading().skipped;
  const double images = static_cast<double>(sum.images);
  const double error = static_cast<double>(sum.errors) / images, loss = sum.loss_sum / images;
  const std::string of = on == 1 ? "train" : "test";
  if (json) {
    nlohmann::ordered_json object{
        {of + "_error", error},           {of + "_loss", loss}, {"images", sum.images},
        {"network", network.name()},      {"data", data.name},  {"file", file},
        {"skipped_files", skipped.size()}};
    if (!std::isfinite(loss)) object[of + "_loss"] = nullptr;
    fmt::print("{}\n", object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{} error {:.2f} %, loss {:.4f}: {} on {} images of {}\n", of, 100 * error, loss,
               network.name(), sum.images, data.name);
    if (!skipped.empty()) fmt::print("{}\n", skipped_text(skipped));
  }
  return success();
}

}  // namespace

ExitCode eval(std::span<const std::string> arguments) {
  const auto line = read_command_line(arguments, option_names(), 1);
  if (!line) return refuse("eval", line.error());
  if (line.value().options.contains("help")) {
    fmt::print("{}",
               options_help(
                   "paceline eval FILE [OPTION]...\n\n"
                   "Tests the network that a leader.safetensors holds, or any file of its kind.\n",
                   option_names()));
    return kDone;
  }
  if (line.value().arguments.empty()) {
    print_mistake("eval", "no file: give a run's leader.safetensors");
    return kMistaken;
  }
  if (const auto done = evaluate_file(line.value().arguments.front(), line.value().options);
      !done) {
    print_mistake("eval", done.error().message);
    return exit_code(done.error());
  }
  return kDone;
}

}  // namespace paceline
