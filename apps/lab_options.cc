#include "paceline/apps/lab_options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "paceline/apps/lab_objective.h"
#include "paceline/apps/option_value.h"

namespace paceline {
namespace {

using Words = std::vector<std::string>;

Words split(const std::string& text, char at) {
  Words words;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(at, begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

/// Reads what was given under its name, with the name in what goes wrong.
class Reader {
 public:
  explicit Reader(const GivenOptions& given) : given_(given) {}

  template <class T>
  Reader& count(const char* name, T& value, std::uint64_t least, std::uint64_t most) {
    return read(name, [&](const std::string& text) -> Result<> {
      PACELINE_TRY(const std::uint64_t number, parse_count(text, least, most));
      value = static_cast<T>(number);
      return success();
    });
  }
  Reader& real(const char* name, double& value, double least, double most) {
    return read(name, [&](const std::string& text) -> Result<> {
      PACELINE_TRY(value, parse_real(text));
      if (value >= least && value <= most) return success();
      return fail(std::errc::invalid_argument, "'{}' is not from {} to {}", text, least, most);
    });
  }
  /// Seconds, microseconds or whatever `unit` nanoseconds are.
  Reader& time(const char* name, nanoseconds& value, double unit) {
    double number = static_cast<double>(value.count()) / unit;
    real(name, number, 0, 1e15 / unit);
    value = nanoseconds(std::llround(number * unit));
    return *this;
  }
  Reader& per_million(const char* name, std::uint32_t& value) {
    double share = value / 1e6;
    real(name, share, 0, 1);
    value = static_cast<std::uint32_t>(std::lround(1e6 * share));
    return *this;
  }
  template <class F>
  Reader& read(const char* name, F f) {
    const auto it = given_.find(name);
    if (it == given_.end() || !result_) return *this;
    if (Result<> done = f(it->second.text); !done)
      result_ = fail(std::errc::invalid_argument, "--{}: {}", name, done.error().message);
    return *this;
  }
  Result<> result() const { return result_; }

 private:
  const GivenOptions& given_;
  Result<> result_ = success();
};

Result<std::vector<const Protocol*>> named(const std::string& text) {
  std::vector<const Protocol*> chosen;
  for (const std::string& name : split(text, ',')) {
    const Protocol* protocol = find_protocol(name);
    Words known;
    for (const Protocol* p : protocols()) known.emplace_back(p->name);
    if (!protocol)
      return fail(std::errc::invalid_argument, "no protocol '{}'{}", name, suggestion(name, known));
    chosen.push_back(protocol);
  }
  if (chosen.empty())
    return fail(std::errc::invalid_argument, "no protocol is named: see paceline protocols");
  return chosen;
}

/// A setting is of at least one of the protocols.
Result<> known(const LabOptions& o, const std::string& key, bool swept) {
  if (swept && (key == "lr" || key == "seed")) return success();
  Words names;
  for (const Protocol* protocol : o.protocols)
    for (const std::string& name : protocol->setting_names())
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  if (std::ranges::find(names, key) != names.end()) return success();
  if (swept) names.insert(names.begin(), {"lr", "seed"});
  return fail(std::errc::invalid_argument, "no setting '{}' in these protocols: there are {}", key,
              fmt::join(names, ", "));
}

Result<> files(const std::string& text, std::vector<std::filesystem::path>& result) {
  for (const std::string& word : split(text, ',')) {
    std::error_code ignored;
    if (!std::filesystem::is_directory(word, ignored)) {
      result.emplace_back(word);
      continue;
    }
    std::vector<std::filesystem::path> inside;
    for (const auto& entry : std::filesystem::directory_iterator(word, ignored))
      if (entry.path().extension() == ".csv") inside.push_back(entry.path());
    std::ranges::sort(inside);
    if (inside.empty()) return fail(std::errc::no_such_file_or_directory, "no *.csv in {}", word);
    result.insert(result.end(), inside.begin(), inside.end());
  }
  return success();
}

Result<> read_problem(Reader& reader, const CommandLine& line, ProblemOptions& p) {
  reader.read("objective", [&](const std::string& text) -> Result<> {
    const Words names = lab_objective_names();
    PACELINE_TRY(const std::size_t at, parse_word(text, names));
    p.objective = names[at];
    return success();
  });
  PACELINE_TRYV(reader.result());
  PACELINE_TRYV(check_meanings(line.options, p.objective));
  if (p.objective == kNetworkObjective) {
    if (line.arguments.empty()) return success();
    return fail(std::errc::invalid_argument, "'{}' is no option: a network has one --data SPEC",
                line.arguments.front());
  }
  reader.read("data", [&](const std::string& text) { return files(text, p.files); });
  for (const std::string& more : line.arguments) PACELINE_TRYV(files(more, p.files));
  reader.read("shard", [&](const std::string& text) -> Result<> {
    PACELINE_TRY(const std::size_t at, parse_word(text, Words{"equally", "by-label"}));
    p.by_label = at == 1;
    return success();
  });
  const bool small = p.objective == "double-well";
  p.dimension = small ? 1 : p.objective == "matrix-completion" ? 10 : p.dimension;
  reader.count("rows", p.rows, 1, 1'000'000).count("dimension", p.dimension, 1, 10'000'000);
  reader.count("rank", p.rank, 1, 1000).real("l2", p.l2, 0, 1e6).real("tilt", p.tilt, -10, 10);
  reader.real("heterogeneity", p.heterogeneity, 0, 1e6);
  reader.read("spectrum", [&](const std::string& text) -> Result<> {
    const Words ends = split(text, ',');
    if (ends.size() != 2) return fail(std::errc::invalid_argument, "'{}' is not MU,L", text);
    PACELINE_TRY(p.least_curvature, parse_positive(ends[0]));
    PACELINE_TRY(p.most_curvature, parse_positive(ends[1]));
    return success();
  });
  return reader.result();
}

Result<> read_conditions(Reader& reader, Conditions& c) {
  reader.time("step-ms", c.step, 1e6).time("latency-us", c.remote_delay, 1e3);
  c.local_delay = c.remote_delay;
  double megabytes = 0;
  reader.real("bandwidth-mb", megabytes, 0, 1e9)
      .count("jitter-percent", c.jitter_percent, 0, 10'000);
  c.bytes_per_second = static_cast<std::uint64_t>(1e6 * megabytes);
  reader.per_million("lost", c.lost_per_million).per_million("reordered", c.reordered_per_million);
  reader.read("compute", [&](const std::string& text) -> Result<> {
    PACELINE_TRY(const std::size_t at, parse_word(text, Words{"constant", "normal", "log-normal"}));
    c.compute.shape = static_cast<TimeShape>(at);
    return success();
  });
  reader.count("deviation-percent", c.compute.deviation_percent, 0, 1000);
  reader.per_million("stragglers", c.compute.straggles_per_million);
  reader.count("straggler-times", c.compute.straggle_times, 1, 1'000'000);
  reader.read("devices-percent", [&](const std::string& text) -> Result<> {
    for (const std::string& word : split(text, ',')) {
      PACELINE_TRY(const std::uint64_t percent, parse_count(word, 1, 1'000'000));
      c.compute.device_percent.push_back(static_cast<std::uint32_t>(percent));
    }
    return success();
  });
  return reader.result();
}

/// Milliseconds of virtual time.
Result<nanoseconds> milliseconds_of(const std::string& text) {
  PACELINE_TRY(const double number, parse_real(text));
  if (!(number >= 0 && number <= 1e9))
    return fail(std::errc::invalid_argument, "'{}' is not from 0 to 1e9 milliseconds", text);
  return nanoseconds(std::llround(1e6 * number));
}

/// "NUMBER@REST"
Result<std::pair<std::uint32_t, std::string>> numbered(const std::string& text, const char* form) {
  const std::size_t at = text.find('@');
  if (at == std::string::npos)
    return fail(std::errc::invalid_argument, "'{}' is not {}", text, form);
  PACELINE_TRY(const std::uint64_t number, parse_count(text.substr(0, at), 0, kNobody - 1));
  return std::pair{static_cast<std::uint32_t>(number), text.substr(at + 1)};
}

Result<> read_join(const std::string& text, TrialOptions& t) {
  for (const std::string& word : split(text, ',')) {
    PACELINE_TRY(const auto given, numbered(word, "WORKER@MS"));
    PACELINE_TRY(const nanoseconds at, milliseconds_of(given.second));
    const std::uint32_t next = t.workers + t.joining++;
    if (given.first != next)
      return fail(std::errc::invalid_argument,
                  "worker {} has no seat: --workers {} are there, and who joins next is worker {}",
                  given.first, t.workers, next);
    t.conditions.additions.push_back({at, given.first});
  }
  return success();
}

Result<> read_crash(const std::string& text, TrialOptions& t) {
  for (const std::string& word : split(text, ',')) {
    PACELINE_TRY(const auto given, numbered(word, "WORKER@MS or WORKER@MS+MS"));
    const std::uint32_t seats = t.workers + t.joining;
    if (given.first >= seats)
      return fail(std::errc::invalid_argument, "no worker {}: there are 0 to {}", given.first,
                  seats - 1);
    Conditions::Crash crash{{}, {given.first}};
    const std::size_t plus = given.second.find('+');
    PACELINE_TRY(crash.at, milliseconds_of(given.second.substr(0, plus)));
    if (plus != std::string::npos) {
      PACELINE_TRY(crash.replaced_after, milliseconds_of(given.second.substr(plus + 1)));
      if (crash.replaced_after == nanoseconds(0))
        return fail(std::errc::invalid_argument, "'{}': who replaces it comes later, not after 0",
                    word);
    }
    t.conditions.crashes.push_back(crash);
  }
  return success();
}

Result<> read_partition(const std::string& text, TrialOptions& t) {
  for (const std::string& word : split(text, ',')) {
    PACELINE_TRY(const auto given, numbered(word, "GROUP@FROM-UNTIL"));
    const std::size_t dash = given.second.find('-');
    if (dash == std::string::npos)
      return fail(std::errc::invalid_argument, "'{}' is not GROUP@FROM-UNTIL", word);
    if (given.first >= t.groups)
      return fail(std::errc::invalid_argument, "no group {}: there are 0 to {}", given.first,
                  t.groups - 1);
    Conditions::Partition parted{{}, {}, given.first};
    PACELINE_TRY(parted.from, milliseconds_of(given.second.substr(0, dash)));
    PACELINE_TRY(parted.until, milliseconds_of(given.second.substr(dash + 1)));
    if (parted.until <= parted.from)
      return fail(std::errc::invalid_argument, "'{}' ends before it begins", word);
    t.conditions.partitions.push_back(parted);
  }
  return success();
}

/// What is to go wrong. @pre workers and groups are read
Result<> read_faults(Reader& reader, TrialOptions& t) {
  reader.read("join", [&](const std::string& text) { return read_join(text, t); });
  reader.read("crash", [&](const std::string& text) { return read_crash(text, t); });
  reader.read("partition", [&](const std::string& text) { return read_partition(text, t); });
  reader.time("detection-ms", t.conditions.detection, 1e6);
  reader.time("patience-ms", t.conditions.patience, 1e6);
  return reader.result();
}

}  // namespace

std::vector<OptionName> lab_option_names() {
  return {
      {"protocols", "A,B,C", "which: see paceline protocols"},
      {"objective", "NAME",
       fmt::format("{} (default least-squares)", fmt::join(lab_objective_names(), ", "))},
      {"data", "FILES",
       "CSV without header, target last, or LIBSVM: one a worker, or one for all, "
       "separated by commas or spaces, or a folder of *.csv (default: synthetic); of cnn what "
       "paceline train takes"},
      {"network", "NAME|FILE.net", "of cnn: what paceline train takes"},
      {"shard", "equally|by-label", "how one file is shared out (default equally)"},
      {"workers", "N", "(default: one a file, else 8)"},
      {"groups", "N", "nodes that they share (default: each its own)"},
      {"sweep", "KEY=V1,V2[;KEY=…]", "every combination; KEY is lr, seed or a protocol's setting"},
      {"set", "KEY=V[;KEY=V]", "settings of the protocols that have them"},
      {"lr", "RATE", "of all (default: from theory, 1 / L; of cnn the network's)"},
      {"momentum", "M", "of protocols that have it (default 0.9)"},
      {"batch", "N",
       "rows of a gradient (default 0: exact local gradients), or images (default 128)"},
      {"iterations", "N", "steps of a worker at most (default 20000); stagnation ends earlier"},
      {"every", "N", "iterations from sample to sample (default: a 10th of all, 50 at most)"},
      {"stagnation", "N", "iterations without progress that end a run (default 2000; 0: none do)"},
      {"seed", "N", "(default 1)"},
      {"reference", "", "the optimum by a direct solver, and distances to it"},
      {"json", "", "standard output is JSON alone"},
      {"csv", "FILE", "every sample of every run"},
      {"plot", "PREFIX", "PREFIX-time.svg, -gradients.svg and -bytes.svg, by gnuplot"},
      {"rows", "N", "of synthetic data, a worker (default 40)"},
      {"dimension", "N", "of synthetic objectives (default 20)"},
      {"spectrum", "MU,L", "curvatures of quadratics (default 0.1,4.7)"},
      {"heterogeneity", "H", "how workers' data differ (default 1)"},
      {"l2", "W", "of logistic regression (default 0.01)"},
      {"rank", "R", "of matrix completion (default 2)"},
      {"tilt", "T", "of the double well (default 0.05)"},
      {"spread", "S", "how far apart workers begin where f is not convex (default 1)"},
      {"step-ms", "T", "virtual time of a gradient (default 1)"},
      {"compute", "constant|normal|log-normal", "how that varies (default constant)"},
      {"deviation-percent", "P", "by how much (default 20)"},
      {"stragglers", "F", "fraction of steps that take longer (default 0)"},
      {"straggler-times", "N", "by how much (default 10)"},
      {"devices-percent", "P1,P2", "time of each worker's device, in turn"},
      {"latency-us", "T", "of a message or read (default 0)"},
      {"jitter-percent", "P", "by which latencies grow at random (default 0)"},
      {"bandwidth-mb", "M",
       "million bytes a second that a node sends to others, messages and vectors one after the "
       "other "
       "(default: no limit)"},
      {"lost", "F", "fraction of messages that never arrive (default 0)"},
      {"reordered", "F", "fraction of messages that others overtake (default 0)"},
      {"crash", "WORKER@MS[+MS]",
       "crashes then; another takes its place so much later, or nobody; several by commas"},
      {"partition", "GROUP@FROM-UNTIL",
       "the group hears nothing of others between these milliseconds; several by commas"},
      {"join", "WORKER@MS",
       "a worker beside --workers, the next free number, that begins then; several by commas"},
      {"detection-ms", "T", "from a crash until others hear of it (default 1)"},
      {"patience-ms", "T", "how long anyone waits for anybody (default 30000)"},
      {"replay", "FILE",
       "instead of all this: the course that paceline train --record FILE has kept, taken again "
       "(see paceline lab --replay FILE --help)"},
      {"help", "", "this list"},
  };
}

Result<LabOptions> read_lab_options(const std::vector<std::string>& words) {
  const std::vector<OptionName> names = lab_option_names();
  constexpr std::size_t kMostFiles = 1'000'000;
  PACELINE_TRY(const CommandLine line, read_command_line(words, names, kMostFiles));
  const GivenOptions& given = line.options;
  LabOptions o;
  o.given = line;
  o.help = given.contains("help");
  if (o.help) return o;
  PACELINE_TRY(o.protocols, named(given_text(given, "protocols", "")));
  PACELINE_TRY(o.reference, given_switch(given, "reference"));
  PACELINE_TRY(o.json, given_switch(given, "json"));
  if (!line.arguments.empty() && !given.contains("data"))
    return fail(std::errc::invalid_argument, "'{}' is no option: files go after --data",
                line.arguments.front());
  o.csv = given_text(given, "csv", "");
  o.plot = given_text(given, "plot", "");
  Reader reader(given);
  TrialOptions& t = o.trial;
  PACELINE_TRYV(read_problem(reader, line, o.problem));
  if (o.problem.files.size() > 1)
    o.problem.workers = static_cast<std::uint32_t>(o.problem.files.size());
  reader.count("workers", o.problem.workers, 1, 1'000'000);
  const std::string joins = given_text(given, "join", "");
  const auto joining = static_cast<std::uint32_t>(split(joins, ',').size());
  if (o.problem.files.size() > 1 && !given.contains("workers")) {
    if (joining >= o.problem.workers)
      return fail(std::errc::invalid_argument,
                  "--join: {} files, and {} workers that join: nobody "
                  "is there at first",
                  o.problem.workers, joining);
    o.problem.workers -= joining;  // each has a file
  }
  t.workers = t.groups = o.problem.workers;
  reader.count("groups", t.groups, 1, o.problem.workers);
  reader.real("lr", t.learning_rate, 1e-300, 1e9).real("momentum", t.momentum, 0, 0.999999);
  reader.count("batch", t.batch, 0, 1'000'000'000)
      .count("iterations", t.iterations, 1, 1'000'000'000);
  reader.count("every", t.every, 1, 1'000'000'000);
  reader.count("stagnation", t.stagnation, 0, 1'000'000'000);
  reader.count("seed", t.seed, 0, ~0ull).real("spread", t.spread, 0, 1e6);
  PACELINE_TRYV(read_conditions(reader, t.conditions));
  o.problem.seed = t.seed;
  if (t.workers % t.groups != 0)
    return fail(std::errc::invalid_argument, "--workers {} does not divide among --groups {}",
                t.workers, t.groups);
  PACELINE_TRYV(read_faults(reader, t));
  o.problem.workers += t.joining;
  PACELINE_TRY(const auto set, parse_pairs(given_text(given, "set", "")));
  for (const auto& [key, value] : set) {
    PACELINE_TRYV(known(o, key, false));
    o.set[key] = value;
  }
  PACELINE_TRY(const auto sweep, parse_pairs(given_text(given, "sweep", "")));
  for (const auto& [key, values] : sweep) {
    PACELINE_TRYV(known(o, key, true));
    o.sweep.emplace_back(key, split(values, ','));
  }
  return o;
}

}  // namespace paceline
