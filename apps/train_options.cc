#include "paceline/apps/train_options.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "paceline/apps/given_options.h"
#include "paceline/apps/option_value.h"
#include "paceline/apps/train_option_table_internal.h"
#include "paceline/layers/network_file.h"

namespace paceline {
namespace {

constexpr std::array kBudgets{"steps", "epochs", "minutes"};

std::vector<OptionName> table_names() {
  static const TrainOptions defaults;
  std::vector<OptionName> all;
  for (const Row& row : train_option_table()) {
    OptionName name = row.name;
    if (const auto value = row.show ? row.show(defaults) : std::nullopt) {
      name.help += fmt::format(" (default {})", *value);
    }
    all.push_back(std::move(name));
  }
  return all;
}

/// Where options may come from but these: they would be read too late, or change nothing.
std::vector<OptionName> command_line_names() {
  std::vector<OptionName> all = table_names();
  all.push_back({"no-augment", "", "as --augment off"});
  all.push_back({"config", "FILE", "an INI file of 'name = value' lines"});
  all.push_back(
      {"resume", "DIR",
       "go on with the run of this folder, from its last checkpoint and with its options, "
       "but those given here"});
  all.push_back({"die-with", "PID", "end at once when this process, which started the run, ends"});
  all.push_back({"print-config", "", "print the resolved options as an INI file, and end"});
  all.push_back({"help", "", "this list"});
  return all;
}

/// no-augment is a spelling of augment; both at once contradict each other.
Result<> resolve_spellings(GivenOptions& given) {
  const auto negated = given.find("no-augment");
  if (negated == given.end()) return success();
  if (const auto both = given.find("augment"); both != given.end()) {
    return fail(std::errc::invalid_argument, "--no-augment contradicts {}: give one of them",
                both->second.origin);
  }
  GivenValue value = negated->second;
  PACELINE_TRY(const bool off, parse_switch(value.text));
  value.text = off ? "off" : "on";
  given.erase(negated);
  given.emplace("augment", std::move(value));
  return success();
}

/// TO-1 and TO-2: adds what places before have not said.
Result<> add_behind(GivenOptions& chosen, GivenOptions place) {
  std::vector<std::string> budgets;
  bool decided = false;
  for (const char* name : kBudgets) {
    decided = decided || chosen.contains(name);
    if (const auto found = place.find(name); found != place.end()) {
      budgets.push_back(found->second.origin);
    }
  }
  if (budgets.size() > 1) {
    return fail(std::errc::invalid_argument, "{} and {} are two ends for one run: give one of them",
                budgets[0], budgets[1]);
  }
  if (decided) {
    for (const char* name : kBudgets) place.erase(name);
  }
  chosen.merge(place);
  return success();
}

/// The options of the run that goes on, behind all others. What makes its state what it is cannot be
/// given otherwise.
Result<> add_resumed(GivenOptions& chosen, const std::string& run,
                     std::span<const OptionName> names) {
  for (const char* other : {"run", "config"})
    if (const auto found = chosen.find(other); found != chosen.end())
      return fail(std::errc::invalid_argument,
                  "{} contradicts --resume {}, which has a folder and options: leave it out",
                  found->second.origin, run);
  const std::filesystem::path config = std::filesystem::path(run) / "config.ini";
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(config, ignored))
    return fail(std::errc::no_such_file_or_directory,
                "--resume {}: holds no run (no config.ini): give a run's folder", run);
  PACELINE_TRY(GivenOptions lines, read_ini(config, names));
  for (const char* name : {"data", "network", "image-size", "protocol", "seed"}) {
    const auto given = chosen.find(name), before = lines.find(name);
    if (given == chosen.end()) continue;
    if (before == lines.end() || given->second.text != before->second.text)
      return fail(std::errc::invalid_argument,
                  "{} {} contradicts --resume {}, which has {}: leave "
                  "it out",
                  given->second.origin, given->second.text, run,
                  before == lines.end() ? "none" : before->second.text);
  }
  return add_behind(chosen, std::move(lines));
}

/// A file is kept by its full path: config.ini may be read elsewhere.
Result<> resolve_network(TrainOptions& options) {
  auto description = open_network(options.network);
  if (!description) {
    return Error{description.error().code, "--network: " + description.error().message};
  }
  options.description = std::move(description).value();
  if (!options.description.file.empty()) {
    std::error_code error;
    const std::filesystem::path whole = std::filesystem::absolute(options.network, error);
    if (!error) options.network = whole.lexically_normal().string();
    if (const auto held = check_ini_text(options.network); !held) {
      return fail(held.error().code, "--network: {}", held.error().message);
    }
  }
  return success();
}

/// Defaults that depend on what else was given, and names that only the layers know.
Result<> resolve(TrainOptions& options, const GivenOptions& given) {
  RunOptions& run = options.run;
  PACELINE_TRYV(resolve_network(options));
  const std::size_t crop = options.description.crop;
  if (options.image_size > 0 && crop > 0 && options.image_size != crop) {
    return fail(std::errc::invalid_argument,
                "--image-size {} means nothing to {}, which reads {}x{}: leave it out",
                options.image_size, options.description.name, crop, crop);
  }
  if (!(options.label_smoothing >= 0 && options.label_smoothing < 1)) {
    return fail(std::errc::invalid_argument, "--label-smoothing {} is not in [0, 1)",
                options.label_smoothing);
  }
  if (run.sgd.learning_rate == 0) run.sgd.learning_rate = options.description.learning_rate;
  if (run.sgd.form == Momentum::none) {
    if (given.contains("momentum") && run.sgd.momentum != 0) {
      return fail(std::errc::invalid_argument,
                  "--momentum {} contradicts --momentum-form none: leave one of them out",
                  run.sgd.momentum);
    }
    run.sgd.momentum = 0;
  }
  const bool bounded =
      std::ranges::any_of(kBudgets, [&](const char* name) { return given.contains(name); });
  if (!bounded) run.minutes = 1;
  return success();
}

}  // namespace

Result<TrainOptions> parse_train_options(std::span<const std::string> arguments,
                                         std::span<const std::string> environment) {
  TrainOptions options;
  PACELINE_TRY(const CommandLine line, read_command_line(arguments, command_line_names(), 0));
  GivenOptions given = line.options;
  PACELINE_TRY(options.help, given_switch(given, "help"));
  if (options.help) return options;
  PACELINE_TRY(options.print_config, given_switch(given, "print-config"));

  if (given.contains("die-with")) {
    auto pid = given_count(given, "die-with", 1, std::numeric_limits<std::int32_t>::max());
    if (!pid) return pid.error();
    options.die_with = static_cast<std::int32_t>(pid.value());
  }

  std::vector<OptionName> names = table_names();
  GivenOptions chosen;
  PACELINE_TRYV(resolve_spellings(given));
  PACELINE_TRYV(add_behind(chosen, std::move(given)));
  names.push_back({"config", "FILE", ""});
  PACELINE_TRY(GivenOptions variables, read_environment(environment, names));
  PACELINE_TRYV(add_behind(chosen, std::move(variables)));
  names.pop_back();
  if (const auto resume = chosen.find("resume"); resume != chosen.end()) {
    options.resume = resume->second.text;
    PACELINE_TRYV(add_resumed(chosen, options.resume, names));
    options.run.directory = options.resume;
    if (chosen.contains("record"))
      return fail(std::errc::invalid_argument,
                  "{} contradicts --resume {}: a course begins with the run: leave it out",
                  chosen.at("record").origin, options.resume);
  } else if (const auto file = chosen.find("config"); file != chosen.end()) {
    PACELINE_TRY(GivenOptions lines, read_ini(file->second.text, names));
    PACELINE_TRYV(add_behind(chosen, std::move(lines)));
  }

  for (const Row& row : train_option_table()) {
    const auto found = chosen.find(row.name.name);
    if (found == chosen.end()) continue;
    if (auto read = row.read(options, found->second.text); !read) {
      return fail(std::errc::invalid_argument, "{}: {}", found->second.origin,
                  read.error().message);
    }
  }
  PACELINE_TRYV(resolve(options, chosen));
  PACELINE_TRYV(check(options.run));
  return options;
}

std::string config_text(const TrainOptions& options) {
  std::string text = "# What decides a run: paceline train --config FILE [--run DIR]\n";
  for (const Row& row : train_option_table()) {
    if (!row.show) continue;
    if (const auto value = row.show(options)) {
      text += fmt::format("{} = {}\n", row.name.name, *value);
    }
  }
  return text;
}

std::string train_help() {
  return options_help(
      "paceline train [OPTION]...\n\n"
      "Trains a network with workers that follow the best one. Each option may also come from the\n"
      "environment (PACELINE_TAU_GLOBAL=16) or from an INI file (--config); the command line goes\n"
      "first, then the environment, then the file. PACELINE_CACHE names the folder that keeps "
      "which\n"
      "convolutions are fastest here (default ~/.cache/paceline).\n",
      command_line_names());
}

}  // namespace paceline
