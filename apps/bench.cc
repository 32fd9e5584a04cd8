#include "paceline/apps/bench.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "paceline/apps/bench_data.h"
#include "paceline/apps/bench_fabric.h"
#include "paceline/apps/bench_mailbox.h"
#include "paceline/apps/bench_pull.h"
#include "paceline/apps/bench_simulation.h"
#include "paceline/apps/bench_slot.h"
#include "paceline/apps/bench_step.h"
#include "paceline/apps/given_network.h"
#include "paceline/apps/given_options.h"
#include "paceline/apps/option_value.h"
#include "paceline/apps/precision_words.h"
#include "paceline/apps/readable_json.h"

namespace paceline {
namespace {

std::vector<OptionName> option_names(const std::string& kind) {
  std::vector<OptionName> names;
  if (kind == "step") {
    names = given_network_options();
    names.insert(names.begin(), {"network", "NAME|FILE.net", "(default cnn7)"});
    names.push_back({"batch", "N", "images of a step (default 128)"});
    names.push_back({"threads", "N", "cores of the engine (default 1)"});
    names.push_back({"device", "NAME", "what computes: cpu (default), cuda or reference"});
    names.push_back({"precision", "f32|tf32|bf16", "what a GPU multiplies in (default f32)"});
    names.push_back(
        {"on-request", "N", "answer each line of input with N steps' seconds, as JSON"});
  }
  if (kind == "data") {
    names = {{"data", "FOLDER", "with train/CLASS/*.jpg or *.png"},
             {"image-size", "N", "height and width (default 224)"},
             {"batch", "N", "images of a batch (default 64)"},
             {"decode-threads", "N", "(default 1)"}};
  }
  if (kind == "simulation")
    names = {{"points", "rounds|events|growth", "which (default: all)"},
             {"plot", "PREFIX", "PREFIX-seconds.svg and PREFIX-bytes.svg of growth, by gnuplot"}};
  if (kind == "fabric") {
    names = {{"fabric", "NAME[,NAME]", "tcp, shared_memory, verbs (default: the first two)"},
             {"largest", "N", "bytes of the largest slot (default 268435456)"},
             {"here", "ADDRESS", "where this process listens (default: anywhere on this host)"},
             {"there", "ADDRESS", "where the other process listens"}};
  }
  names.push_back({"json", "", "standard output is JSON alone"});
  names.push_back({"help", "", "this list"});
  return names;
}

void print(const nlohmann::json& figures, bool json,
           std::string (*readable)(const nlohmann::json&)) {
  constexpr auto kReplace =
      nlohmann::json::error_handler_t::replace;  // a file's name may be anything
  fmt::print("{}", json ? figures.dump(2, ' ', false, kReplace) + "\n" : readable(figures));
}

Result<nlohmann::json> measure_data(const GivenOptions& given) {
  DataBenchOptions options;
  options.data = given_text(given, "data", "");
  PACELINE_TRY(options.image_size, given_count(given, "image-size", options.image_size, 4096));
  PACELINE_TRY(options.batch, given_count(given, "batch", options.batch, 1 << 16));
  PACELINE_TRY(const std::uint64_t threads, given_count(given, "decode-threads", 1, 4096));
  options.decode_threads = static_cast<unsigned>(threads);
  if (options.data.empty()) {
    return fail(std::errc::invalid_argument, "no --data: give a folder with train/CLASS/*.jpg");
  }
  return bench_data(options);
}

Result<nlohmann::json> measure_fabric(const GivenOptions& given) {
  FabricBenchOptions options;
  PACELINE_TRY(options.largest_bytes,
               given_count(given, "largest", options.largest_bytes, options.largest_bytes));
  std::istringstream names(given_text(given, "fabric", "tcp,shared_memory"));
  for (std::string name; std::getline(names, name, ',');) {
    const auto kind = fabric_named(name);
    if (!kind) return fail(kind.error().code, "--fabric: {}", kind.error().message);
    options.fabrics.push_back(kind.value());
  }
  options.here = given_text(given, "here", "");
  options.there = given_text(given, "there", "");
  return bench_fabric(options);
}

Result<nlohmann::json> measure_simulation(const GivenOptions& given) {
  const auto figures = bench_simulation(given_text(given, "points", ""));
  if (!figures)
    return Error{figures.error().code, fmt::format("--points: {}", figures.error().message)};
  const std::string plot = given_text(given, "plot", "");
  if (!plot.empty()) PACELINE_TRYV(plot_growth(plot, figures.value()));
  return figures;
}

/// Prints for itself.
Result<> measure_step(const GivenOptions& given, bool json) {
  StepBenchOptions options;
  PACELINE_TRY(options.batch, given_count(given, "batch", options.batch, 1 << 16));
  PACELINE_TRY(const std::uint64_t threads, given_count(given, "threads", options.threads, 4096));
  options.threads = static_cast<unsigned>(threads);
  options.device = given_text(given, "device", options.device);
  PACELINE_TRY(options.precision, given_precision(given));
  PACELINE_TRY(const std::uint64_t on_request, given_count(given, "on-request", 0, 1 << 20));
  PACELINE_TRY(const Network network, given_network(given_text(given, "network", "cnn7"), given));
  if (on_request > 0) return bench_steps_on_request(network, options, on_request);
  PACELINE_TRY(const nlohmann::json figures, bench_step(network, options));
  print(figures, json, step_table);
  return success();
}

Result<> measure(const std::string& kind, const GivenOptions& options) {
  PACELINE_TRY(const bool json, given_switch(options, "json"));
  if (kind == "step") return measure_step(options, json);
  // The other process of bench mailbox, fabric or simulation.
  if (options.contains("peer")) {
    const std::string peer = given_text(options, "peer", "");
    if (kind == "simulation") return answer_bench_simulation(peer);
    return kind == "fabric" ? answer_bench_fabric(peer) : answer_bench_mailbox(peer);
  }
  PACELINE_TRY(const nlohmann::json figures, kind == "slot"         ? bench_slot()
                                             : kind == "pull"       ? bench_pull()
                                             : kind == "mailbox"    ? bench_mailbox()
                                             : kind == "fabric"     ? measure_fabric(options)
                                             : kind == "simulation" ? measure_simulation(options)
                                                                    : measure_data(options));
  print(figures, json, readable_json);
  return success();
}

}  // namespace

ExitCode bench(std::span<const std::string> arguments) {
  const std::vector<std::string> kinds{"slot", "pull", "mailbox",   "fabric",
                                       "step", "data", "simulation"};
  const std::string kind = arguments.empty() ? "--help" : arguments.front();
  if (kind == "--help") {
    fmt::print(
        "{}",
        options_help("paceline bench slot|pull|mailbox|fabric|step|data|simulation [OPTION]...\n\n"
                     "Measures publishing to a slot against memcpy, a pull fused with\n"
                     "the update against separate passes, messages between processes\n"
                     "against CAF's remoting, reads and letters over fabrics, a training\n"
                     "step, how fast image files are decoded (bench data --help), or the\n"
                     "simulator's events, time and memory (bench simulation --help).\n"
                     "A step's options:\n",
                     option_names("step")));
    return kDone;
  }
  if (const auto known = parse_word(kind, kinds); !known) {
    print_mistake("bench", known.error().message);
    return kMistaken;
  }
  std::vector<OptionName> names = option_names(kind);
  if (kind == "mailbox" || kind == "fabric" || kind == "simulation")
    names.push_back({"peer", "WORDS", ""});  // for itself
  const auto line = read_command_line(arguments.subspan(1), names, 0);
  if (!line) return refuse("bench", line.error());
  const GivenOptions& options = line.value().options;
  if (options.contains("help")) {
    fmt::print("{}", options_help("paceline bench " + kind + " [OPTION]...\n", option_names(kind)));
    return kDone;
  }
  if (const auto done = measure(kind, options); !done) {
    print_mistake("bench", done.error().message);
    return exit_code(done.error());
  }
  return kDone;
}

}  // namespace paceline
