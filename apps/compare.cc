#include "paceline/apps/compare.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include "paceline/actors/protocol_settings.h"
#include "paceline/actors/simulation/step_traffic.h"
#include "paceline/apps/compare_plot.h"
#include "paceline/apps/compare_report.h"
#include "paceline/apps/interrupt.h"
#include "paceline/apps/progress_line.h"
#include "paceline/layers/atomic_file.h"
#include "paceline/net/child_process.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point then) {
  return std::chrono::duration<double>(Clock::now() - then).count();
}

/// The last line of a file that is not empty.
std::string last_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string last;
  for (std::string line; std::getline(stream, line);)
    if (!line.empty()) last = line;
  return last;
}

/// Makes what is missing of a comparison, one run after the other.
class Comparison {
 public:
  Comparison(const CompareOptions& options, std::span<const std::string> environment,
             const CompareFolder& folder, RunControl& control)
      : options_(options),
        plan_(options.plan),
        environment_(environment),
        folder_(folder),
        control_(control),
        people_(options.json ? stderr : stdout),
        line_(people_) {}

  /// All grids, then every contender's first seed, and so on: what disturbs the machine for a while
  /// disturbs all alike.
  Result<> make() {
    PACELINE_TRYV(count());
    fmt::print(people_, "{} of {} runs are still to be made, about {}\n", left_, total_,
               clock_text(seconds_left()));
    for (const std::size_t c : options_.chosen) {
      const Contender& contender = plan_.contenders[c];
      if (!contender.note.empty()) fmt::print(people_, "{} {}\n", contender.name, contender.note);
    }
    std::fflush(people_);
    for (const std::size_t c : options_.chosen) PACELINE_TRYV(make_grid(c));
    std::size_t most = 0;
    for (const std::size_t c : options_.chosen)
      most = std::max(most, plan_.contenders[c].seeds.size());
    for (std::size_t round = 0; round < most; ++round)
      for (const std::size_t c : options_.chosen) PACELINE_TRYV(make_seed(c, round));
    return success();
  }
  std::size_t failures() const { return failures_; }

 private:
  double seconds_of(const PlannedRun& run) const {
    return 60 * (run.grid ? plan_.grid_minutes : plan_.minutes);
  }
  double seconds_left() const {
    const double extra =
        made_ > 0 ? extra_seconds_ / static_cast<double>(made_) : 15;  // unmeasured
    return training_left_ + extra * static_cast<double>(left_);
  }
  static bool has_grid(const Contender& c) { return c.rates.size() > 1; }

  Result<bool> finished(const PlannedRun& run) const {
    PACELINE_TRY(const TrainOptions wanted, options_of(plan_, run, environment_));
    return folder_.finished(plan_, run, wanted);
  }

  /// What is planned, and what of it is left to do.
  Result<> count() {
    for (const std::size_t c : options_.chosen) {
      const Contender& contender = plan_.contenders[c];
      PACELINE_TRY(const ContenderRecord record, read_contender(folder_, plan_, c, environment_));
      const std::size_t grid = has_grid(contender) ? contender.rates.size() : 0;
      total_ += grid + contender.seeds.size();
      const std::size_t runs =
          record.choice.all_diverged ? 0 : contender.seeds.size() - record.runs.size();
      left_ += grid - record.tried.size() + runs;
      training_left_ += 60 * plan_.grid_minutes * static_cast<double>(grid - record.tried.size()) +
                        60 * plan_.minutes * static_cast<double>(runs);
    }
    return success();
  }

  Result<> make_grid(std::size_t c) {
    const Contender& contender = plan_.contenders[c];
    if (!has_grid(contender)) return success();
    bool made = false;
    for (const double rate : contender.rates) {
      const PlannedRun run{c, true, rate, contender.seeds[0]};
      const fs::path directory = folder_.run(plan_, run);
      PACELINE_TRY(const bool there, finished(run));
      if (there && has_train_test(directory)) continue;
      made = true;
      PACELINE_TRYV(make(run));
    }
    PACELINE_TRY(const ContenderRecord record, read_contender(folder_, plan_, c, environment_));
    const RateChoice& choice = record.choice;
    if (choice.all_diverged) drop(contender.seeds.size());
    if (made || choice.all_diverged)
      say(fmt::format("{}: {}{}", contender.name,
                      choice.rate ? fmt::format("takes rate {}", *choice.rate) : choice.note,
                      choice.rate && !choice.note.empty() ? ", " + choice.note : ""));
    return success();
  }

  /// Runs that will not be made after all.
  void drop(std::size_t runs) {
    const std::size_t dropped = std::min(left_, runs);
    left_ -= dropped;
    training_left_ -= 60 * plan_.minutes * static_cast<double>(dropped);
    training_left_ = std::max(training_left_, 0.0);
  }

  Result<> make_seed(std::size_t c, std::size_t round) {
    const Contender& contender = plan_.contenders[c];
    if (round >= contender.seeds.size()) return success();
    PACELINE_TRY(const ContenderRecord record, read_contender(folder_, plan_, c, environment_));
    if (!record.choice.rate) return success();
    const PlannedRun run{c, false, *record.choice.rate, contender.seeds[round]};
    PACELINE_TRY(const bool there, finished(run));
    if (there) return success();
    return make(run);
  }

  /// A run from its beginning; what it fails of is said and kept, and is no failure here.
  Result<> make(const PlannedRun& run) {
    PACELINE_TRY(const TrainOptions options, options_of(plan_, run, environment_));
    const fs::path directory = folder_.run(plan_, run), failed = directory.string() + ".failed";
    std::error_code error;
    PACELINE_TRY(const bool trained, finished(run));  // and not tested
    if (!trained) fs::remove_all(directory, error);
    fs::remove(failed, error);
    fs::create_directories(directory.parent_path(), error);
    if (error)
      return fail_errno(error.value(), "{}: cannot be made", directory.parent_path().string());
    const auto begun = Clock::now();
    const std::string what =
        fmt::format("{} of {}  {}", total_ - left_ + 1, total_, described(plan_, run));
    std::string failure;
    if (!trained) {
      PACELINE_TRY(failure,
                   child(train_words(options, directory), CompareFolder::log(directory), what));
    }
    if (failure.empty() && run.grid) {
      PACELINE_TRY(failure,
                   child(test_words(options, directory), train_test_file(directory), what));
    }
    extra_seconds_ += std::max(0.0, seconds_since(begun) - (trained ? 0 : seconds_of(run)));
    ++made_;
    --left_;
    training_left_ -= seconds_of(run);
    if (!failure.empty()) {
      ++failures_;
      say(fmt::format("{}: failed: {}", what, failure));
      return write_file_atomically(failed, failure + "\n");
    }
    return report(run, what);
  }

  Result<> report(const PlannedRun& run, const std::string& what) {
    PACELINE_TRY(const ContenderRecord record,
                 read_contender(folder_, plan_, run.contender, environment_));
    for (const auto* runs : {&record.tried, &record.runs})
      for (const RunRecord& r : *runs) {
        if (r.run.grid != run.grid || r.run.rate != run.rate || r.run.seed != run.seed) continue;
        const std::string figures =
            run.grid ? r.train_loss ? fmt::format("training loss {:.4f}", *r.train_loss)
                                    : std::string("diverged")
                     : fmt::format("test error of the leader {:.1f} %, of the mean {:.1f} %{}",
                                   100 * r.error_leader, 100 * r.error_mean,
                                   r.diverged ? ", diverged" : "");
        say(fmt::format("{}: {}; {} left", what, figures, clock_text(seconds_left())));
      }
    return success();
  }

  /// Every option is on the command line, which goes before an environment.
  static std::vector<std::string> train_words(const TrainOptions& options,
                                              const fs::path& directory) {
    std::vector<std::string> words{"/proc/self/exe", "train",
                                   fmt::format("--die-with={}", getpid()),
                                   "--run=" + directory.string()};
    std::istringstream lines(config_text(options));
    for (std::string line; std::getline(lines, line);) {
      const std::size_t equals = line.find(" = ");
      if (line.starts_with('#') || equals == std::string::npos) continue;
      words.push_back(fmt::format("--{}={}", line.substr(0, equals), line.substr(equals + 3)));
    }
    return words;
  }
  static std::vector<std::string> test_words(const TrainOptions& options,
                                             const fs::path& directory) {
    return {"/proc/self/exe",
            "eval",
            (directory / "leader.safetensors").string(),
            "--on=train",
            "--json",
            "--device=" + options.run.device,
            fmt::format("--threads={}", std::max(std::thread::hardware_concurrency(), 1U))};
  }

  /// @return why it failed; empty: it did not
  /// @retval operation_canceled  somebody stopped the comparison
  Result<std::string> child(const std::vector<std::string>& words, const fs::path& output,
                            const std::string& what) {
    PACELINE_TRY(ChildProcess process, ChildProcess::start(words, {}, output.string()));
    std::optional<ProcessEnd> end;
    std::optional<Clock::time_point> asked;
    while (!(end = process.wait(100ms))) {
      if (control_.suspending()) stand_still(process);
      if (control_.stopping() && !asked) {
        process.kill(SIGINT);
        asked = Clock::now();
      } else if (asked && seconds_since(*asked) > kTestsAtMost) {
        process.kill(SIGINT);  // the second time: it ends at once
        asked = Clock::now();
      }
      const std::string state = words[1] == "train" ? last_line(output) : "testing";
      line_.show(fmt::format("{}  {}  ({} left)", what, state, clock_text(seconds_left())));
    }
    line_.finish();
    if (end->orderly()) return std::string();
    if (control_.stopping()) return fail(std::errc::operation_canceled, "stopped");
    const std::string last = last_line(output);
    return last.empty() ? end->words() : last;
  }

  /// The run stops with this process, and so does its clock.
  void stand_still(const ChildProcess& process) {
    process.kill(SIGTSTP);
    std::this_thread::sleep_for(500ms);  // it stops its own workers first
    control_.stands_still();
    while (control_.suspending()) std::this_thread::sleep_for(5ms);
    process.kill(SIGCONT);
  }

  void say(const std::string& text) {
    line_.finish();
    fmt::print(people_, "{}\n", text);
    std::fflush(people_);
  }

  static constexpr double kTestsAtMost =
      10;  // seconds for a run that was stopped and is thrown away

  const CompareOptions& options_;
  const ComparePlan& plan_;
  const std::span<const std::string> environment_;
  const CompareFolder& folder_;
  RunControl& control_;
  std::FILE* const people_;
  ProgressLine line_;
  std::size_t total_ = 0, left_ = 0, made_ = 0, failures_ = 0;
  double training_left_ = 0, extra_seconds_ = 0;  // of those made here, beyond their training
};

Result<> report(const CompareOptions& options, const CompareFolder& folder,
                std::span<const std::string> environment) {
  CompareReport report{options.plan, options.chosen, {}, {}};
  for (const std::size_t c : options.chosen) {
    PACELINE_TRY(ContenderRecord record, read_contender(folder, options.plan, c, environment));
    report.records.push_back(std::move(record));
    const Contender& contender = options.plan.contenders[c];
    PACELINE_TRY(
        const TrainOptions of,
        options_of(options.plan, {c, false, contender.rates[0], contender.seeds[0]}, environment));
    const auto bytes =
        bytes_per_parameter_step(*contender.protocol, settings_for(*contender.protocol, of.run),
                                 {of.run.groups, of.run.workers / of.run.groups});
    report.bytes.push_back(bytes ? bytes.value() : NAN);
  }
  if (!options.csv.empty()) PACELINE_TRYV(write_file_atomically(options.csv, report_csv(report)));
  if (!options.plot.empty()) PACELINE_TRYV(plot(options.plot, report));
  fmt::print("{}", options.json ? report_json(report) : report_table(report));
  return success();
}

ExitCode run_all(const CompareOptions& options, std::span<const std::string> environment) {
  RunControl control;
  const auto interrupt = Interrupt::watch(
      control, "stopping the present run, which begins anew next time; once more ends at once");
  if (!interrupt) return refuse("compare", interrupt.error());
  const auto folder = CompareFolder::open_to_run(options.folder, options.plan);
  if (!folder) return refuse("compare", folder.error());
  Comparison comparison(options, environment, folder.value(), control);
  if (const auto made = comparison.make(); !made) {
    if (made.error().code == std::errc::operation_canceled) {
      fmt::print(stderr, "paceline compare: stopped; paceline compare {} goes on\n",
                 options.folder.string());
      return kInterrupted;
    }
    print_mistake("compare", made.error().message);
    return exit_code(made.error());
  }
  if (!options.json) fmt::print("\n");
  if (const auto done = report(options, folder.value(), environment); !done) {
    print_mistake("compare", done.error().message);
    return exit_code(done.error());
  }
  if (comparison.failures() == 0) return kDone;
  print_mistake("compare", fmt::format("{} runs failed: see *.failed and *.log below {}; the same "
                                       "command tries them again",
                                       comparison.failures(), options.folder.string()));
  return kFailed;
}

}  // namespace

ExitCode compare(const std::vector<std::string>& words, std::span<const std::string> environment) {
  const auto options = read_compare_options(words, environment);
  if (!options) return refuse("compare", options.error());
  const CompareOptions& o = options.value();
  if (o.help) {
    fmt::print(
        "{}",
        options_help(
            "paceline compare OUT [OPTION]...\n\n"
            "Protocols against each other in real training runs, at equal training time: for "
            "each a run\nfor every rate, then every seed at the rate with the lowest training "
            "loss. Runs are made one\nafter the other below OUT, and made once: the same "
            "command goes on where it was stopped.\nOptions of paceline train hold for "
            "all.\n",
            compare_option_names()));
    return kDone;
  }
  if (!o.report) return run_all(o, environment);
  const auto folder = CompareFolder::open_to_read(o.folder);
  if (!folder) return refuse("compare", folder.error());
  const auto done = report(o, folder.value(), environment);
  return done ? kDone : refuse("compare", done.error());
}

}  // namespace paceline
