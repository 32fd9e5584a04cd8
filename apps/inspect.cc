#include "paceline/apps/inspect.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "paceline/apps/finding.h"
#include "paceline/apps/given_network.h"
#include "paceline/apps/readable_number.h"
#include "paceline/compute/device.h"
#include "paceline/layers/network.h"
#include "paceline/layers/network_file.h"

namespace paceline {
namespace {

constexpr std::size_t kBatch = 128;

std::vector<OptionName> option_names() {
  std::vector<OptionName> names = given_network_options();
  names.push_back({"batch", "N", "images of a step, for the memory it takes (default 128)"});
  names.push_back({"json", "", "standard output is JSON alone"});
  names.push_back({"as-file", "", "print the network as a file for --network, and no more"});
  names.push_back({"help", "", "this list"});
  return names;
}

/// A layer's row.
struct Row {
  std::string name, what;
  Shape output;
  std::uint64_t parameters = 0, multiply_adds = 0;  ///< of one image, forward
};

std::vector<Row> rows_of(const Network& network) {
  const Program& program = network.program();
  std::vector<Row> rows;
  for (std::size_t i = 0; i < network.description().layers.size(); ++i) {
    const LayerDescription& layer = network.description().layers[i];
    const Operation& operation = program.operations[i];
    const Shape &in = program.activations[operation.input],
                &out = program.activations[operation.output];
    const ParameterCounts counts = parameter_counts(operation.kind, in, out);
    Row row{.name = layer.name,
            .what = layer_text(layer),
            .output = out,
            .parameters = counts.weight + counts.bias};
    if (std::holds_alternative<Convolution>(operation.kind))
      row.multiply_adds = counts.weight * out.height * out.width;
    if (std::holds_alternative<Linear>(operation.kind)) row.multiply_adds = counts.weight;
    rows.push_back(std::move(row));
  }
  return rows;
}

/// What a training step keeps beside the parameters, on the CPU.
struct Memory {
  std::uint64_t activations = 0;                   ///< bytes: the sum of all activations, forward
  std::optional<std::uint64_t> planned, unshared;  ///< bytes, as the engine lays them out
  std::string unknown;                             ///< why it cannot tell
};

Memory memory_of(const Network& network, std::size_t batch) {
  Memory memory;
  for (const Shape& shape : network.program().activations)
    memory.activations += sizeof(float) * batch * shape.count();
  // Compiling takes that memory; one that swaps the machine to a halt is not worth a figure.
  const auto most = static_cast<double>(3 * memory.activations +
                                        5 * sizeof(float) * network.layout().all_elements());
  if (most > available_memory()) {
    memory.unknown = fmt::format("it may be {}, and {} are free: give a smaller --batch",
                                 readable_bytes(most), readable_bytes(available_memory()));
    return memory;
  }
  const auto device = open_device("cpu", {});
  if (!device) {
    memory.unknown = device.error().message;
    return memory;
  }
  // Without timing: the plan, not the speed, is asked for.
  const auto executable =
      device.value()->compile(network.program(), {.batch = batch, .deterministic = true});
  if (!executable) {
    memory.unknown = executable.error().message;
    return memory;
  }
  memory.planned = executable.value()->activation_bytes();
  memory.unshared = executable.value()->unshared_activation_bytes();
  return memory;
}

nlohmann::ordered_json as_json(const Network& network, std::size_t batch, const Memory& memory) {
  const NetworkDescription& description = network.description();
  const auto shape = [](const Shape& s) {
    return nlohmann::ordered_json{s.channels, s.height, s.width};
  };
  nlohmann::ordered_json json{{"network", network.name()},
                              {"image", shape(network.image())},
                              {"classes", network.classes()},
                              {"learning_rate", description.learning_rate},
                              {"initialise", initialisation_word(description.initialisation)},
                              {"parameters", network.layout().parameters},
                              {"parameter_elements", network.layout().elements},
                              {"buffer_elements", network.layout().buffer_elements},
                              {"multiply_adds", 0},
                              {"batch", batch},
                              {"sum_of_activations_bytes", memory.activations},
                              {"activation_bytes", nullptr},
                              {"unshared_activation_bytes", nullptr},
                              {"layers", nlohmann::ordered_json::array()}};
  if (memory.planned) json["activation_bytes"] = *memory.planned;
  if (memory.unshared) json["unshared_activation_bytes"] = *memory.unshared;
  std::uint64_t multiply_adds = 0;
  for (const Row& row : rows_of(network)) {
    multiply_adds += row.multiply_adds;
    json["layers"].push_back({{"name", row.name},
                              {"layer", row.what},
                              {"output", shape(row.output)},
                              {"parameters", row.parameters},
                              {"multiply_adds", row.multiply_adds}});
  }
  json["multiply_adds"] = multiply_adds;
  return json;
}

std::string text(const Shape& s) { return fmt::format("{}x{}x{}", s.channels, s.height, s.width); }

std::string table(const std::vector<Row>& rows) {
  std::size_t name = 5, what = 0, output = 6;
  for (const Row& row : rows) {
    name = std::max(name, row.name.size());
    what = std::max(what, row.what.size());
    output = std::max(output, text(row.output).size());
  }
  std::string all = fmt::format("{:<{}}  {:<{}}  {:>{}}  {:>12}  {:>15}\n", "layer", name, "", what,
                                "output", output, "parameters", "multiply-adds");
  const auto figure = [](std::uint64_t n) { return n == 0 ? std::string() : grouped(n); };
  for (const Row& row : rows) {
    std::string line =
        fmt::format("{:<{}}  {:<{}}  {:>{}}  {:>12}  {:>15}", row.name, name, row.what, what,
                    text(row.output), output, figure(row.parameters), figure(row.multiply_adds));
    line.resize(line.find_last_not_of(' ') + 1);
    all += line + "\n";
  }
  return all;
}

std::string as_text(const Network& network, std::size_t batch, const Memory& memory) {
  const NetworkDescription& description = network.description();
  const Layout& layout = network.layout();
  const std::vector<Row> rows = rows_of(network);
  std::uint64_t multiply_adds = 0, buffers = 0;
  for (const Row& row : rows) multiply_adds += row.multiply_adds;
  for (const Tensor& t : layout.buffers) buffers += t.count;
  std::string all = fmt::format(
      "{}: images of {}, {} classes; learning rate {}, starts as {}\n\n{}\n", network.name(),
      text(network.image()), network.classes(), description.learning_rate,
      initialisation_word(description.initialisation), table(rows));
  all += fmt::format("parameters     {}", grouped(layout.parameters));
  if (buffers > 0) all += fmt::format(", and {} running statistics", grouped(buffers));
  all += fmt::format("\nmultiply-adds  {} for one image, forward\n", grouped(multiply_adds));
  all += fmt::format("vectors        {} each: parameters, gradient, momentum\n",
                     readable_bytes(sizeof(float) * layout.elements));
  all += fmt::format("activations    {} in a batch of {}, forward\n",
                     readable_bytes(memory.activations), batch);
  if (memory.planned) {
    all += fmt::format("engine         {} beside the vectors, on the CPU; {} without sharing\n",
                       readable_bytes(*memory.planned), readable_bytes(*memory.unshared));
  } else {
    all += fmt::format("engine         memory beside the vectors unknown: {}\n", memory.unknown);
  }
  return all;
}

Result<> inspect_network(const std::string& name, const GivenOptions& options) {
  PACELINE_TRY(const Network network, given_network(name, options));
  PACELINE_TRY(const std::uint64_t batch, given_count(options, "batch", kBatch, 1 << 20));
  PACELINE_TRY(const bool json, given_switch(options, "json"));
  PACELINE_TRY(const bool as_file, given_switch(options, "as-file"));
  if (json && as_file) {
    return fail(std::errc::invalid_argument, "--as-file contradicts --json: give one of them");
  }
  if (as_file) {
    fmt::print("{}", network_text(network.description()));
    return success();
  }
  const Memory memory = memory_of(network, batch);
  if (json) {
    fmt::print("{}\n", as_json(network, batch, memory)
                           .dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}", as_text(network, batch, memory));
  }
  return success();
}

}  // namespace

ExitCode inspect(std::span<const std::string> arguments) {
  const auto line = read_command_line(arguments, option_names(), 1);
  if (!line) return refuse("inspect", line.error());
  if (line.value().options.contains("help")) {
    fmt::print("{}", options_help("paceline inspect NETWORK|FILE.net [OPTION]...\n\n"
                                  "Lists a network's layers with what they make, their parameters\n"
                                  "and multiply-adds, and the memory that training it takes.\n",
                                  option_names()));
    return kDone;
  }
  if (line.value().arguments.empty()) {
    print_mistake("inspect", fmt::format("no network: give one of {}, or a file that ends in .net",
                                         fmt::join(named_networks(), ", ")));
    return kMistaken;
  }
  if (const auto done = inspect_network(line.value().arguments.front(), line.value().options);
      !done) {
    print_mistake("inspect", done.error().message);
    return exit_code(done.error());
  }
  return kDone;
}

}  // namespace paceline
