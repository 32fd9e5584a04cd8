#include "paceline/apps/train_options.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "paceline/apps/given_options.h"
#include "paceline/apps/option_row_internal.h"
#include "paceline/apps/option_value.h"
#include "paceline/layers/network_file.h"

namespace paceline {
namespace {

Row target_error() {
  return {{"target-error", "E", "end early once the leader's test error is at most E, in (0, 1)"},
          [](TrainOptions& o, const std::string& given) -> Result<> {
            PACELINE_TRY(o.run.target_error, parse_real(given));
            return success();
          },
          [](const TrainOptions& o) -> std::optional<std::string> {
            if (!o.run.target_error) return std::nullopt;
            return show_real(*o.run.target_error);
          }};
}

Row milestones() {
  return {{"lr-milestones", "F,...",
           "ascending fractions of the run, for --lr-schedule steps (default 0.5,0.75)"},
          [](TrainOptions& o, const std::string& given) -> Result<> {
            std::vector<double>& milestones = o.run.schedule.milestones;
            milestones.clear();
            for (std::size_t from = 0; from <= given.size();) {
              const std::size_t comma = std::min(given.find(',', from), given.size());
              PACELINE_TRY(const double value, parse_real(given.substr(from, comma - from)));
              milestones.push_back(value);
              from = comma + 1;
            }
            return success();
          },
          [](const TrainOptions& o) -> std::optional<std::string> {
            std::string text;
            for (const double milestone : o.run.schedule.milestones)
              text += (text.empty() ? "" : ",") + show_real(milestone);
            return text;
          }};
}

/// Shown where the schedule looks at it.
Row of_steps(Row row) {
  row.show = [show = row.show](const TrainOptions& o) {
    return o.run.schedule.annealing == Annealing::steps ? show(o) : std::nullopt;
  };
  return row;
}

Row patience() {
  static constexpr const char* kAuto = "auto";  // 0 in the field
  return {{"patience", "S|auto",
           "seconds that anyone waits for anybody; auto: by how long steps were seen to take"},
          [](TrainOptions& o, const std::string& given) -> Result<> {
            if (given == kAuto) {
              o.run.patience = 0;
              return success();
            }
            PACELINE_TRY(o.run.patience, parse_positive(given));
            return success();
          },
          [](const TrainOptions& o) -> std::optional<std::string> {
            return o.run.patience == 0 ? kAuto : show_real(o.run.patience);
          }};
}

Row augment() {
  return word("augment", "crop and mirror training images at random",
              std::vector<std::pair<std::string, bool>>{{"on", true}, {"off", false}},
              PACELINE_FIELD(run.augment));
}

/// "10m", "90s", "2h", or steps of each worker.
Row checkpoint_every() {
  return {{"checkpoint-every", "T|N",
           "seconds (90s), minutes (10m) or hours (2h) of training, or steps of a worker (500), from "
           "one checkpoint to the next, and one at the end; 0: none (default: none)"},
          [](TrainOptions& o, const std::string& given) -> Result<> {
            o.run.checkpoint_seconds = 0;
            o.run.checkpoint_steps = 0;
            static const std::map<char, double> kUnits{{'s', 1}, {'m', 60}, {'h', 3600}};
            const auto unit = given.empty() ? kUnits.end() : kUnits.find(given.back());
            if (unit == kUnits.end()) {
              const auto steps = parse_count(given);
              if (!steps)
                return fail(std::errc::invalid_argument,
                            "'{}' is neither a time such as 90s, 10m or 2h nor a number of steps",
                            given);
              o.run.checkpoint_steps = steps.value();
              return success();
            }
            PACELINE_TRY(const double time, parse_positive(given.substr(0, given.size() - 1)));
            o.run.checkpoint_seconds = time * unit->second;
            return success();
          },
          [](const TrainOptions& o) -> std::optional<std::string> {
            if (o.run.checkpoint_steps > 0) return std::to_string(o.run.checkpoint_steps);
            if (o.run.checkpoint_seconds > 0) return show_real(o.run.checkpoint_seconds) + "s";
            return std::nullopt;
          }};
}

const std::vector<Row>& table() {
  static const std::vector<Row> rows = {
      text("data", "SPEC",
           "synthetic[:seed=N,train=N,test=N], or a folder of CIFAR-10 or IDX files or of "
           "train/CLASS/*.jpg|png and val/CLASS/* (cifar10:DIR, mnist:DIR, fashion-mnist:DIR, "
           "images:DIR insist on the kind)",
           PACELINE_FIELD(data)),
      text("network", "NAME|FILE.net",
           fmt::format("the network: {}, or a file: see paceline inspect",
                       fmt::join(named_networks(), ", ")),
           PACELINE_FIELD(network)),
      above_zero(
          count("image-size",
                "height and width of image files, for networks that do not crop (default: the "
                "network's)",
                PACELINE_FIELD(image_size)),
          PACELINE_FIELD(image_size)),
      count("decode-threads", "threads of each worker that decode image files",
            PACELINE_FIELD(run.decode_threads)),
      text("protocol", "NAME", "how workers coordinate: lsgd, easgd, ...: see paceline protocols",
           PACELINE_FIELD(run.protocol)),
      word("mode", "whether workers wait for each other when they coordinate",
           std::vector<std::pair<std::string, Mode>>{{"barrier", Mode::barrier},
                                                     {"nonblocking", Mode::nonblocking}},
           PACELINE_FIELD(run.mode)),
      count("groups", "groups of workers, each with a leader of its own",
            PACELINE_FIELD(run.groups)),
      count("workers", "workers in all groups together", PACELINE_FIELD(run.workers)),
      above_zero(count("max-workers",
                       "how many there may be when paceline workers adds some (default: twice "
                       "--workers)",
                       PACELINE_FIELD(run.max_workers)),
                 PACELINE_FIELD(run.max_workers)),
      count("batch", "images of one worker's step", PACELINE_FIELD(run.batch)),
      above_zero(real("lr", "RATE", "learning rate (default: the network's)",
                      PACELINE_FIELD(run.sgd.learning_rate)),
                 PACELINE_FIELD(run.sgd.learning_rate)),
      word("lr-schedule",
           "the rate over the run: as it is, times --lr-factor at each milestone, or half a cosine "
           "down to 0",
           std::vector<std::pair<std::string, Annealing>>{{"constant", Annealing::constant},
                                                          {"steps", Annealing::steps},
                                                          {"cosine", Annealing::cosine}},
           PACELINE_FIELD(run.schedule.annealing)),
      off_at_zero(real("lr-warm-up", "F",
                       "fraction of the run in which the rate grows from 0 (default: none)",
                       PACELINE_FIELD(run.schedule.warm_up)),
                  PACELINE_FIELD(run.schedule.warm_up)),
      of_steps(milestones()),
      of_steps(real("lr-factor", "C", "what a milestone multiplies the rate by (default 0.1)",
                    PACELINE_FIELD(run.schedule.factor))),
      real("momentum", "M", "in [0, 1)", PACELINE_FIELD(run.sgd.momentum)),
      word("momentum-form", "how momentum enters a step",
           std::vector<std::pair<std::string, Momentum>>{{"none", Momentum::none},
                                                         {"heavy-ball", Momentum::heavy_ball},
                                                         {"nesterov", Momentum::nesterov},
                                                         {"sutskever", Momentum::sutskever}},
           PACELINE_FIELD(run.sgd.form)),
      real("weight-decay", "W", "added to the gradient: g += W x",
           PACELINE_FIELD(run.sgd.weight_decay)),
      word("weight-decay-of", "all parameters, or weights alone: no biases, no BatchNorms",
           std::vector<std::pair<std::string, bool>>{{"all", true}, {"weights", false}},
           PACELINE_FIELD(run.decay_all)),
      above_zero(real("clip-norm", "X", "scale longer gradients down to X (default: none)",
                      PACELINE_FIELD(run.clip_norm)),
                 PACELINE_FIELD(run.clip_norm)),
      off_at_zero(real("label-smoothing", "X",
                       "share of a label that is spread over all classes (default: none)",
                       PACELINE_FIELD(label_smoothing)),
                  PACELINE_FIELD(label_smoothing)),
      count("tau", "steps between pulls to the group's leader", PACELINE_FIELD(run.tau)),
      count("tau-global", "steps between pulls to the global leader: a multiple of --tau",
            PACELINE_FIELD(run.tau_global)),
      real("pull", "C", "towards the group's leader, x -= C (x - z), in [0, 1]",
           PACELINE_FIELD(run.pull)),
      real("pull-global", "C", "towards the global leader, in [0, 1]",
           PACELINE_FIELD(run.pull_global)),
      count("score-window", "batches whose mean loss is a worker's score",
            PACELINE_FIELD(run.score_window)),
      count("staleness", "versions that a leader may be behind before its pull is skipped",
            PACELINE_FIELD(run.staleness)),
      above_zero(count("steps", "end after N steps a worker: N x workers in all",
                       PACELINE_FIELD(run.steps)),
                 PACELINE_FIELD(run.steps)),
      above_zero(real("epochs", "E", "end after E times the training set, over all workers",
                      PACELINE_FIELD(run.epochs)),
                 PACELINE_FIELD(run.epochs)),
      above_zero(real("minutes", "M", "end after M minutes of training (without a budget: 1)",
                      PACELINE_FIELD(run.minutes)),
                 PACELINE_FIELD(run.minutes)),
      target_error(),
      count("seed", "of everything that is drawn", PACELINE_FIELD(run.seed)),
      flag("deterministic", "the same seed gives the same bits; with --mode barrier",
           PACELINE_FIELD(run.deterministic)),
      word("evaluate", "test beside the training, or after it on snapshots",
           std::vector<std::pair<std::string, Evaluate>>{{"beside", Evaluate::beside},
                                                         {"after", Evaluate::after}},
           PACELINE_FIELD(run.evaluate)),
      real("evaluate-every", "S", "seconds of training between tests",
           PACELINE_FIELD(run.evaluate_every)),
      word("sampling", "each worker sees the whole set, or its share",
           std::vector<std::pair<std::string, Sampling>>{{"shuffled", Sampling::shuffled},
                                                         {"sharded", Sampling::sharded}},
           PACELINE_FIELD(run.sampling)),
      augment(),
      word("isolation", "what a worker is: a thread, or a process that may die alone",
           std::vector<std::pair<std::string, Isolation>>{{"thread", Isolation::thread},
                                                          {"process", Isolation::process}},
           PACELINE_FIELD(run.isolation)),
      count("threads", "cores of one worker's engine", PACELINE_FIELD(run.threads)),
      flag("pin", "keep each worker to cores of its own, spread over the machine",
           PACELINE_FIELD(run.pin)),
      text("device", "NAME", "what computes: see paceline doctor", PACELINE_FIELD(run.device)),
      patience(),
      real("begin-within", "S", "seconds that a worker may take to build its engine",
           PACELINE_FIELD(run.begin_within)),
      count("restarts", "how often a worker that ends before its time is replaced",
            PACELINE_FIELD(run.restarts)),
      flag("slot-checksums",
           "check that nobody writes into published parameters: a pass more over them at every "
           "publish, two at every read",
           PACELINE_FIELD(run.slot_checksums)),
      checkpoint_every(),
      count("keep-checkpoints", "checkpoints that are kept, the newest",
            PACELINE_FIELD(run.keep_checkpoints)),
      silent(text("run", "DIR", "the run's folder (default runs/DATE-NETWORK-PROTOCOL)",
                  PACELINE_FIELD(run.directory))),
      silent(flag("json", "standard output is the summary alone, as JSON", PACELINE_FIELD(json))),
      silent(flag("quiet", "no progress", PACELINE_FIELD(quiet))),
  };
  return rows;
}

constexpr std::array kBudgets{"steps", "epochs", "minutes"};

std::vector<OptionName> table_names() {
  static const TrainOptions defaults;
  std::vector<OptionName> all;
  for (const Row& row : table()) {
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
  all.push_back({"resume", "DIR",
                 "go on with the run of this folder, from its last checkpoint and with its options, "
                 "but those given here"});
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
      return fail(std::errc::invalid_argument, "{} {} contradicts --resume {}, which has {}: leave "
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
  } else if (const auto file = chosen.find("config"); file != chosen.end()) {
    PACELINE_TRY(GivenOptions lines, read_ini(file->second.text, names));
    PACELINE_TRYV(add_behind(chosen, std::move(lines)));
  }

  for (const Row& row : table()) {
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
  for (const Row& row : table()) {
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
