#include "paceline/apps/compare_plan.h"

#include <algorithm>
#include <array>
#include <set>
#include <thread>

#include "paceline/actors/protocol_settings.h"
#include "paceline/apps/compare_folder.h"
#include "paceline/apps/option_value.h"
#include "paceline/apps/train_option_table_internal.h"

namespace paceline {
namespace {

using Words = std::vector<std::string>;

/// Options of paceline train that a comparison decides itself, and by what.
constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kDecided{
    {{"lr", "--rates names them"},
     {"seed", "--seeds names them"},
     {"protocol", "--protocols names them"},
     {"evaluate", "all are tested after the training"},
     {"steps", "all train for --minutes"},
     {"epochs", "all train for --minutes"},
     {"target-error", "all train for --minutes"},
     {"run", "each run has a folder below the comparison's"},
     {"resume", "what is missing is made when the same command is given again"},
     {"config", "--plan is a file of options"},
     {"quiet", "its runs write into files"},
     {"deterministic", "equal training time is a clock's"}}};

bool decided(std::string_view name) {
  return std::ranges::find(kDecided, name, [](const auto& d) { return d.first; }) != kDecided.end();
}

std::vector<OptionName> train_names() {
  std::vector<OptionName> names;
  for (const Row& row : train_option_table())
    if (!decided(row.name.name) && row.name.name != "minutes" && row.name.name != "json")
      names.push_back(row.name);
  return names;
}

/// What makes up a plan, besides what goes to paceline train.
std::vector<OptionName> plan_names() {
  return {{"protocols", "A,B,C", "which, or names of sections of the plan: see paceline protocols"},
          {"seeds", "N,...", "of each (default 1)"},
          {"rates", "R,...", "learning rates to choose from; a single one is taken as it is"},
          {"minutes", "M", "of training of each run (default 4)"},
          {"grid-minutes", "M", "of training of each run that tries a rate (default 1)"}};
}

Result<Words> split(const std::string& text) {
  Words words;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    if (words.back().empty())
      return fail(std::errc::invalid_argument, "'{}' has an empty part between commas", text);
    if (std::ranges::count(words, words.back()) > 1)
      return fail(std::errc::invalid_argument, "'{}' has {} twice", text, words.back());
    begin = end + 1;
  }
  return words;
}

template <class Parse>
auto parse_all(const GivenValue& given, Parse parse)
    -> Result<std::vector<std::decay_t<decltype(parse("").value())>>> {
  std::vector<std::decay_t<decltype(parse("").value())>> values;
  const auto words = split(given.text);
  if (!words)
    return fail(std::errc::invalid_argument, "{}: {}", given.origin, words.error().message);
  for (const std::string& word : words.value()) {
    const auto value = parse(word);
    if (!value)
      return fail(std::errc::invalid_argument, "{}: {}", given.origin, value.error().message);
    if (std::ranges::count(values, value.value()) > 0)
      return fail(std::errc::invalid_argument, "{}: {} is given twice", given.origin, word);
    values.push_back(value.value());
  }
  return values;
}

/// Everything that was given, wherever, with sections as "SECTION.NAME".
struct Given {
  GivenOptions options;
  Words names;  ///< contenders

  /// The contender's own, else the common one; null: neither.
  const GivenValue* find(const std::string& contender, const std::string& name) const {
    for (const std::string& key : {contender + "." + name, name})
      if (const auto it = options.find(key); it != options.end()) return &it->second;
    return nullptr;
  }
  bool own(const std::string& contender, const std::string& name) const {
    return options.contains(contender + "." + name);
  }
};

Result<Given> gather(GivenOptions line, const std::filesystem::path& folder) {
  Given given;
  std::filesystem::path file = given_text(line, "plan", "");
  std::error_code ignored;
  if (file.empty() && !line.contains("protocols") &&
      std::filesystem::exists(folder / CompareFolder::kPlan, ignored))
    file = folder / CompareFolder::kPlan;
  if (!file.empty() && line.contains("protocols"))
    return fail(std::errc::invalid_argument,
                "--protocols contradicts --plan {}, which names them: leave one of them out, or "
                "give --only",
                file.string());
  std::optional<std::string> names;
  if (file.empty())
    names = line.contains("protocols") ? std::optional(line.at("protocols").text) : std::nullopt;
  else
    names = read_ini_value(file, "protocols");
  if (names) {
    auto words = split(*names);
    if (!words) return fail(std::errc::invalid_argument, "--protocols: {}", words.error().message);
    given.names = std::move(words).value();
  }
  if (!file.empty()) {
    std::vector<OptionName> known = plan_names();
    const std::vector<OptionName> of_train = train_names();
    known.insert(known.end(), of_train.begin(), of_train.end());
    for (const std::string& name : given.names) {
      for (const OptionName& option : of_train)
        known.push_back({name + "." + option.name, "V", ""});
      for (const char* option : {"protocol", "rates", "seeds"})
        known.push_back({name + "." + option, "V", ""});
    }
    PACELINE_TRY(GivenOptions lines, read_ini(file, known, "--plan"));
    line.merge(lines);
  }
  if (given.names.empty())
    return fail(std::errc::invalid_argument,
                "no protocols: give --protocols lsgd,easgd, say, or a --plan that names them");
  given.options = std::move(line);
  return given;
}

Result<const Protocol*> protocol_of(const Given& given, const std::string& contender) {
  const auto own = given.options.find(contender + ".protocol");
  const std::string name = own == given.options.end() ? contender : own->second.text;
  const Protocol* const protocol = find_protocol(name);
  Words known;
  for (const Protocol* p : protocols())
    if (!p->simulated_only) known.emplace_back(p->name);
  if (!protocol)
    return fail(std::errc::invalid_argument, "--protocols: no protocol '{}'{}", name,
                suggestion(name, known));
  if (protocol->simulated_only)
    return fail(std::errc::invalid_argument,
                "--protocols: {} runs in the simulator alone: see paceline lab", name);
  return protocol;
}

/// The number of a common option, if it is one; what is wrong with it paceline train's check says.
std::uint64_t number_of(const Given& given, const char* name, std::uint64_t otherwise) {
  const auto it = given.options.find(name);
  const auto value = it == given.options.end() ? Result<std::uint64_t>(otherwise)
                                               : parse_count(it->second.text, 1, 1 << 20);
  return value ? value.value() : otherwise;
}

/// CO-2
void make_sequential(const Given& given, Contender& c) {
  const RunOptions usual;
  const std::uint64_t cores = std::max(std::thread::hardware_concurrency(), 1U);
  const std::uint64_t threads = std::min(cores, number_of(given, "workers", usual.workers) *
                                                    number_of(given, "threads", usual.threads));
  c.words.emplace_back("--workers=1");
  if (!given.own(c.name, "threads")) c.words.push_back(fmt::format("--threads={}", threads));
  c.note = fmt::format("takes one worker{}",
                       given.own(c.name, "threads")
                           ? ""
                           : fmt::format(": it has {} thread{}", threads, threads == 1 ? "" : "s"));
}

/// The form that the others have where the protocol takes it, else the usual one of its own.
void choose_form(Contender& c, const GivenValue* common) {
  static constexpr std::array<std::pair<Momentum, const char*>, 4> kForms{
      {{Momentum::nesterov, "nesterov"},
       {Momentum::sutskever, "sutskever"},
       {Momentum::heavy_ball, "heavy-ball"},
       {Momentum::none, "none"}}};
  const auto wanted = std::ranges::find(kForms, common ? common->text : "nesterov",
                                        [](const auto& f) { return std::string(f.second); });
  const auto taken = [&](const auto& form) { return c.protocol->takes(form.first); };
  if (wanted == kForms.end() || taken(*wanted)) {
    if (common) c.words.push_back("--momentum-form=" + common->text);
    return;
  }
  const char* const form = std::ranges::find_if(kForms, taken)->second;
  c.words.push_back(fmt::format("--momentum-form={}", form));
  c.note += fmt::format("{}takes {} momentum", c.note.empty() ? "" : "; ", form);
}

/// CO-1
void add_words(const Given& given, Contender& c) {
  const Settings coordination = coordination_settings(RunOptions{});
  const Words known = c.protocol->setting_names();
  for (const OptionName& option : train_names()) {
    const std::string& name = option.name;
    const GivenValue* const value = given.find(c.name, name);
    const bool own = given.own(c.name, name);
    std::string setting = name;
    std::ranges::replace(setting, '-', '_');
    if (name == "momentum-form" && !own) {
      choose_form(c, value);
      continue;
    }
    if (value == nullptr) continue;
    if (!own && coordination.contains(setting) && std::ranges::count(known, setting) == 0) continue;
    const bool of_many =
        name == "workers" || name == "groups" || name == "max-workers" || name == "threads";
    if (!own && c.protocol->sequential && of_many) continue;
    c.words.push_back(fmt::format("--{}={}", name, value->text));
  }
  if (c.protocol->sequential && !given.own(c.name, "workers")) make_sequential(given, c);
}

Result<Contender> contender_of(const Given& given, const std::string& name) {
  // A name is a folder's, a section's and a curve's.
  if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") !=
      std::string::npos)
    return fail(std::errc::invalid_argument,
                "--protocols: '{}' is not a name of letters, digits, '-' and '_'", name);
  Contender c{name, nullptr, {}, {1}, {}, ""};
  PACELINE_TRY(c.protocol, protocol_of(given, name));
  const GivenValue* const rates = given.find(name, "rates");
  if (rates == nullptr)
    return fail(std::errc::invalid_argument,
                "no learning rates for {}: give --rates 0.01,0.03,0.1, say", name);
  PACELINE_TRY(c.rates, parse_all(*rates, [](const std::string& w) { return parse_positive(w); }));
  if (const GivenValue* const seeds = given.find(name, "seeds")) {
    PACELINE_TRY(c.seeds, parse_all(*seeds, [](const std::string& w) { return parse_count(w); }));
  }
  add_words(given, c);
  return c;
}

Result<double> minutes_of(const GivenOptions& given, const char* name, double otherwise) {
  const auto it = given.find(name);
  if (it == given.end()) return otherwise;
  auto value = parse_positive(it->second.text);
  if (!value)
    return fail(std::errc::invalid_argument, "{}: {}", it->second.origin, value.error().message);
  return value;
}

std::string plan_text(const Given& given) {
  std::string common = "# paceline compare --plan THIS OUT, or paceline compare OUT to go on\n",
              rest;
  std::set<std::string> kept;
  for (const OptionName& option : plan_names()) kept.insert(option.name);
  for (const OptionName& option : train_names()) kept.insert(option.name);
  for (const auto& [name, value] : given.options)
    if (kept.contains(name)) common += fmt::format("{} = {}\n", name, value.text);
  for (const std::string& contender : given.names) {
    std::string section;
    for (const auto& [name, value] : given.options)
      if (name.starts_with(contender + "."))
        section += fmt::format("{} = {}\n", name.substr(contender.size() + 1), value.text);
    if (!section.empty()) rest += fmt::format("\n[{}]\n{}", contender, section);
  }
  return common + rest;
}

/// A remedy where paceline train's option would mean nothing.
Result<> refuse_decided(const Words& words) {
  for (const std::string& word : words)
    for (const auto& [name, why] : kDecided)
      if (word == fmt::format("--{}", name) || word.starts_with(fmt::format("--{}=", name)))
        return fail(std::errc::invalid_argument, "--{} is not for a comparison: {}", name, why);
  return success();
}

}  // namespace

std::vector<OptionName> compare_option_names() {
  std::vector<OptionName> names = plan_names();
  names.insert(names.begin(), {"plan", "FILE",
                               "an INI file of these options, with a section for each protocol "
                               "that has some of its own"});
  names.insert(names.end(), {{"only", "A,B", "make, or report on, these alone"},
                             {"report", "", "say what the folder has so far, and make nothing"},
                             {"json", "", "standard output is JSON alone"},
                             {"csv", "FILE", "every test of every run"},
                             {"plot", "PREFIX",
                              "PREFIX-leader-time.svg, -mean-time.svg, -leader-images.svg and "
                              "-mean-images.svg, by gnuplot"},
                             {"help", "", "this list"}});
  const std::vector<OptionName> of_train = train_names();
  names.insert(names.end(), of_train.begin(), of_train.end());
  return names;
}

Result<CompareOptions> read_compare_options(const Words& words,
                                            std::span<const std::string> environment) {
  PACELINE_TRYV(refuse_decided(words));
  const std::vector<OptionName> names = compare_option_names();
  PACELINE_TRY(CommandLine line, read_command_line(words, names, 1));
  CompareOptions o;
  PACELINE_TRY(o.help, given_switch(line.options, "help"));
  if (o.help) return o;
  PACELINE_TRY(o.report, given_switch(line.options, "report"));
  PACELINE_TRY(o.json, given_switch(line.options, "json"));
  o.csv = given_text(line.options, "csv", "");
  o.plot = given_text(line.options, "plot", "");
  const auto only = line.options.find("only");
  const std::optional<GivenValue> chosen =
      only == line.options.end() ? std::nullopt : std::optional(only->second);
  if (line.arguments.empty())
    return fail(std::errc::invalid_argument, "no folder: give one for the runs");
  o.folder = line.arguments.front();
  PACELINE_TRY(const Given given, gather(std::move(line.options), o.folder));
  ComparePlan& plan = o.plan;
  PACELINE_TRY(plan.minutes, minutes_of(given.options, "minutes", plan.minutes));
  PACELINE_TRY(plan.grid_minutes, minutes_of(given.options, "grid-minutes", plan.grid_minutes));
  for (const std::string& name : given.names) {
    PACELINE_TRY(Contender contender, contender_of(given, name));
    plan.contenders.push_back(std::move(contender));
  }
  plan.text = plan_text(given);
  for (std::size_t i = 0; i < given.names.size(); ++i) {
    o.chosen.push_back(i);
    const PlannedRun first{i, false, plan.contenders[i].rates[0], plan.contenders[i].seeds[0]};
    PACELINE_TRYV(options_of(plan, first, environment));
  }
  if (chosen) {
    o.chosen.clear();
    PACELINE_TRY(const Words some, split(chosen->text));
    for (const std::string& name : some) {
      const auto at = std::ranges::find(given.names, name);
      if (at == given.names.end())
        return fail(std::errc::invalid_argument, "--only: '{}' is not compared{}", name,
                    suggestion(name, given.names));
      o.chosen.push_back(static_cast<std::size_t>(at - given.names.begin()));
    }
  }
  return o;
}

Result<TrainOptions> options_of(const ComparePlan& plan, const PlannedRun& run,
                                std::span<const std::string> environment) {
  constexpr double kTests = 8;  // in a run's curve, where nobody says how many
  const Contender& contender = plan.contenders[run.contender];
  const double minutes = run.grid ? plan.grid_minutes : plan.minutes;
  Words words{fmt::format("--protocol={}", contender.protocol->name), "--lr=" + show_real(run.rate),
              fmt::format("--seed={}", run.seed), "--minutes=" + show_real(minutes),
              "--evaluate=after"};
  const bool told = std::ranges::any_of(
      contender.words, [](const std::string& w) { return w.starts_with("--evaluate-every="); });
  for (const std::string& word : contender.words)
    if (!run.grid || !word.starts_with("--evaluate-every=")) words.push_back(word);
  // A run that tries a rate is tested at its end alone.
  if (run.grid) words.push_back("--evaluate-every=" + show_real(120 * minutes));
  if (!run.grid && !told) words.push_back("--evaluate-every=" + show_real(60 * minutes / kTests));
  auto options = parse_train_options(words, environment);
  if (!options)
    return fail(options.error().code, "{}: {}", contender.name, options.error().message);
  return options;
}

std::string described(const ComparePlan& plan, const PlannedRun& run) {
  return fmt::format("{}, rate {}, {}", plan.contenders[run.contender].name, run.rate,
                     run.grid ? std::string("tried") : fmt::format("seed {}", run.seed));
}

}  // namespace paceline
