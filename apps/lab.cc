#include "paceline/apps/lab.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "paceline/apps/interrupt.h"
#include "paceline/apps/lab_objective.h"
#include "paceline/apps/lab_options.h"
#include "paceline/apps/lab_plot.h"
#include "paceline/apps/lab_replay.h"
#include "paceline/apps/option_value.h"

namespace paceline {
namespace {

using Json = nlohmann::ordered_json;

/// One run to be made, and what came of it.
struct Job {
  TrialOptions options;
  Settings swept;
  Result<TrialResult> result = TrialResult{};  ///< without samples: not begun

  std::string name() const {
    std::string text(options.protocol->name);
    for (const auto& [key, value] : swept) text += fmt::format(" {}={}", key, value);
    return text;
  }
};

Result<> apply(TrialOptions& trial, const std::string& key, const std::string& value) {
  if (key == "lr") {
    PACELINE_TRY(trial.learning_rate, parse_positive(value));
  } else if (key == "seed") {
    PACELINE_TRY(trial.seed, parse_count(value));
  } else {
    trial.settings[key] = value;
  }
  return success();
}

/// Every protocol with every combination of what is swept and means something to it.
Result<std::vector<Job>> jobs_of(const LabOptions& o) {
  std::vector<Job> jobs;
  for (const Protocol* protocol : o.protocols) {
    const std::vector<std::string> names = protocol->setting_names();
    const auto knows = [&](const std::string& key) {
      return key == "lr" || key == "seed" || std::ranges::find(names, key) != names.end();
    };
    Job plain{o.trial, {}, TrialResult{}};
    plain.options.protocol = protocol;
    for (const auto& [key, value] : o.set)
      if (knows(key)) plain.options.settings[key] = value;
    std::vector<Job> combined = {plain};
    for (const auto& [key, values] : o.sweep) {
      if (!knows(key)) continue;
      std::vector<Job> next;
      for (const Job& job : combined)
        for (const std::string& value : values) {
          next.push_back(job);
          next.back().swept[key] = value;
          if (const auto applied = apply(next.back().options, key, value); !applied)
            return fail(std::errc::invalid_argument, "--sweep {}: {}", key,
                        applied.error().message);
        }
      combined = std::move(next);
    }
    jobs.insert(jobs.end(), combined.begin(), combined.end());
  }
  return jobs;
}

void run_all(const Problem& problem, const std::vector<double>& optimum, std::vector<Job>& jobs,
             const RunControl& control) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < jobs.size() && !control.stopping(); i = next++)
      jobs[i].result = run_trial(problem, optimum, jobs[i].options);
  };
  std::vector<std::jthread> threads;
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  for (std::size_t i = 1; i < std::min(cores, jobs.size()); ++i) threads.emplace_back(work);
  work();
}

/// For a shell.
std::string for_shell(const std::string& word) {
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) ||
           std::string_view("_./:,=+-").find(static_cast<char>(c)) != std::string_view::npos;
  };
  return !word.empty() && std::ranges::all_of(word, plain) ? word : "'" + word + "'";
}

/// The command that makes this one run again.
std::string command_of(const LabOptions& o, const Job& job) {
  std::string text = fmt::format("paceline lab --protocols {}", job.options.protocol->name);
  for (const auto& [name, value] : o.given.options) {
    static constexpr std::array kOfAll{"protocols", "sweep", "set", "json", "csv", "plot"};
    if (std::ranges::find(kOfAll, name) != kOfAll.end() || job.swept.contains(name)) continue;
    text += fmt::format(" --{}{}", name, value.text.empty() ? "" : "=" + for_shell(value.text));
  }
  for (const std::string& file : o.given.arguments) text += " " + for_shell(file);
  for (const char* name : {"lr", "seed"})
    if (const auto swept = job.swept.find(name); swept != job.swept.end())
      text += fmt::format(" --{} {}", name, swept->second);
  std::string set;
  for (const auto& [key, value] : job.options.settings)
    set += fmt::format("{}{}={}", set.empty() ? "" : ";", key, value);
  return set.empty() ? text : text + " --set " + for_shell(set);
}

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json described(const LabOptions& o, const Problem& problem, const Job& job) {
  const TrialResult& r = job.result.value();
  const Sample& end = r.samples.back();
  Json settings = Json::object();
  for (const auto& [key, value] : job.options.settings) settings[key] = value;
  Json swept = Json::object();
  for (const auto& [key, value] : job.swept) swept[key] = value;
  const auto [least, most] = std::ranges::minmax(r.objectives);
  return {
      {"protocol", job.options.protocol->name},
      {"iterations", end.iterations},
      {"gradient_evaluations", end.gradients},
      {"virtual_seconds", end.virtual_seconds},
      {"bytes", end.bytes},
      {"messages", r.messages},
      {"objective", finite(end.objective)},
      {"distance_squared", end.distance_squared ? finite(*end.distance_squared) : nullptr},
      {"test_error", end.test_error ? Json(*end.test_error) : Json(nullptr)},
      {"diverged", r.diverged},
      {"interrupted", r.interrupted},
      {"link_bytes", r.link_bytes},
      {"queued_seconds", r.queued_seconds},
      {"worker_objective_least", finite(least)},
      {"worker_objective_most", finite(most)},
      {"learning_rate", r.learning_rate},
      {"learning_rate_from", job.options.learning_rate > 0 ? "given" : problem.learning_rate_from},
      {"workers", job.options.protocol->sequential ? 1 : job.options.workers},
      {"seed", job.options.seed},
      {"settings", settings},
      {"swept", swept},
      {"timeouts", r.faults},
      {"command", command_of(o, job)}};
}

void print(const LabOptions& o, const std::vector<Job>& jobs) {
  std::size_t width = 8;
  for (const Job& job : jobs) width = std::max(width, job.name().size());
  const bool tested = std::ranges::any_of(
      jobs, [](const Job& job) { return bool(job.result.value().samples.back().test_error); });
  fmt::print("{:<{}}  {:>10}  {:>12}  {:>12}  {:>15}  {:>12}\n", "run", width, "iterations",
             "virtual s", "bytes", "objective", tested ? "test error" : "distance^2");
  for (const Job& job : jobs) {
    const TrialResult& r = job.result.value();
    const Sample& end = r.samples.back();
    fmt::print("{:<{}}  {:>10}  {:>12.6g}  {:>12}  {:>15.9g}  {:>12}{}\n", job.name(), width,
               end.iterations, end.virtual_seconds, end.bytes, end.objective,
               end.distance_squared ? fmt::format("{:.4g}", *end.distance_squared)
               : end.test_error     ? fmt::format("{:.4f}", *end.test_error)
                                    : "",
               r.diverged      ? "  diverged"
               : r.interrupted ? "  interrupted"
                               : "");
  }
  for (const Job& job : jobs) {
    const TrialResult& r = job.result.value();
    if (r.diverged || r.faults > 0)
      fmt::print("{} {}: {}\n", job.name(),
                 r.diverged ? "diverged" : fmt::format("waited {} times in vain", r.faults),
                 command_of(o, job));
  }
}

Result<> experiment(const LabOptions& o, const RunControl& control) {
  PACELINE_TRY(const Problem problem, open_problem(o));
  PACELINE_TRY(std::vector<Job> jobs, jobs_of(o));
  std::vector<double> optimum;
  if (o.reference && !problem.reference)
    return fail(std::errc::invalid_argument, "--reference: {} has no direct solver",
                o.problem.objective);
  if (o.reference) {
    PACELINE_TRY(optimum, problem.reference());
  }
  for (Job& job : jobs) job.options.interrupted = [&control] { return control.stopping(); };
  run_all(problem, optimum, jobs, control);
  const std::size_t left_out = std::erase_if(
      jobs, [](const Job& job) { return job.result && job.result.value().samples.empty(); });
  if (left_out > 0) fmt::print(stderr, "paceline lab: {} runs were not begun\n", left_out);
  std::vector<Curve> curves;
  Json results = Json::array();
  for (const Job& job : jobs) {
    if (!job.result)
      return fail(std::errc::invalid_argument, "{}: {}", job.name(), job.result.error().message);
    curves.push_back({job.name(), job.result.value().samples});
    results.push_back(described(o, problem, job));
  }
  if (!o.csv.empty()) PACELINE_TRYV(write_csv(o.csv, curves));
  if (!o.plot.empty() && !curves.empty()) PACELINE_TRYV(plot(o.plot, curves));
  if (!o.json) print(o, jobs);
  if (!o.json && o.trial.learning_rate == 0)
    fmt::print("step where none is given: {} = {:.6g}\n", problem.learning_rate_from,
               problem.learning_rate);
  if (!o.json && o.reference) fmt::print("optimum: {:.12g}\n", problem.value(optimum));
  if (!o.json) return success();
  Json all{{"objective", o.problem.objective},
           {"workers", o.problem.workers},
           {"dimension", problem.dimension},
           {"smoothness", problem.smoothness > 0 ? Json(problem.smoothness) : Json(nullptr)},
           {"optimum", o.reference ? Json(problem.value(optimum)) : Json(nullptr)},
           {"results", results}};
  fmt::print("{}\n", all.dump(2));
  return success();
}

}  // namespace

ExitCode lab(const std::vector<std::string>& words) {
  if (asks_for_replay(words)) return lab_replay(words);
  const auto options = read_lab_options(words);
  if (!options) {
    print_mistake("lab", options.error().message);
    return kMistaken;
  }
  if (options.value().help) {
    fmt::print("{}", options_help("paceline lab: protocols against each other in the simulator, in "
                                  "virtual time and double precision (cnn: single).\n",
                                  lab_option_names()));
    return kDone;
  }
  RunControl control;
  const auto interrupt = Interrupt::watch(control);
  if (!interrupt) return refuse("lab", interrupt.error());
  if (const auto done = experiment(options.value(), control); !done) {
    print_mistake("lab", done.error().message);
    return kMistaken;
  }
  return control.stopping() ? kInterrupted : kDone;
}

}  // namespace paceline
