#include "paceline/apps/train.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

#include "paceline/actors/caf_compat.h"
#include "paceline/actors/checkpoint.h"
#include "paceline/actors/metrics_file.h"
#include "paceline/actors/resume.h"
#include "paceline/actors/run.h"
#include "paceline/actors/summary.h"
#include "paceline/apps/interrupt.h"
#include "paceline/apps/progress_line.h"
#include "paceline/apps/run_directory.h"
#include "paceline/apps/run_parts.h"
#include "paceline/apps/train_options.h"
#include "paceline/apps/train_report.h"
#include "paceline/layers/atomic_file.h"
#include "paceline/net/child_process.h"

namespace paceline {
namespace {

Result<RunSummary> run_in_system(const TrainOptions& options, const RunParts& parts,
                                 RunControl& control, ProgressLine* line) {
  // Options are set, never parsed: the command line is ours alone.
  caf::actor_system_config config;
  use_sharing_scheduler(config, std::max(std::thread::hardware_concurrency(), 1U));
  caf::actor_system system(config);
  return run(system, options.run, parts.network, parts.data, control,
             [line](const Progress& progress) {
               if (line != nullptr) line->show(progress);
             });
}

/// Finds where the run goes on, and makes its folder say what it goes on with.
Result<> open_resumed(TrainOptions& options, const RunParts& parts) {
  RunOptions& run = options.run;
  auto found = read_newest_checkpoint(run.directory, parts.network.layout());
  if (!found) return Error{found.error().code, "--resume: " + found.error().message};
  run.resume = std::make_shared<const Checkpoint>(std::move(found).value());
  PACELINE_TRYV(check_resume(run, parts.network, planned_steps(run, parts.data)));
  const auto writable = MetricsFile::extend(run.directory / "metrics.jsonl");
  if (!writable) return writable.error();  // before anything is touched: it may be running
  tidy_checkpoints(run.directory, *run.resume);
  std::error_code ignored;
  std::filesystem::remove(run.directory / "summary.json", ignored);
  std::filesystem::remove_all(run.directory / "snapshots", ignored);
  return write_file_atomically(run.directory / "config.ini", config_text(options));
}

}  // namespace

ExitCode train(std::span<const std::string> arguments, std::span<const std::string> environment) {
  // Both would end the program in the middle of a write; as errors of write() they are reported.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);

  // The library's log goes to standard output unless told otherwise; that may be JSON alone.
  spdlog::set_default_logger(spdlog::stderr_color_mt("paceline"));

  auto parsed = parse_train_options(arguments, environment);
  if (!parsed) return refuse("train", parsed.error());
  TrainOptions& options = parsed.value();
  if (options.help) {
    fmt::print("{}", train_help());
    return kDone;
  }
  if (options.print_config) {
    fmt::print("{}", config_text(options));
    return kDone;
  }

  RunControl control;
  const auto interrupt = Interrupt::watch(control);  // before any other thread
  if (!interrupt) return refuse("train", interrupt.error());
  if (options.die_with != 0) {
    const auto starter = identify_process(options.die_with);
    const auto tied = starter ? die_with_parent(starter.value()) : Result<>(starter.error());
    if (!tied)
      return refuse("train", fail(tied.error().code, "--die-with: {}", tied.error().message));
  }
  const auto parts = open_run_parts(options);
  if (!parts) return refuse("train", parts.error());
  if (control.stopping()) return kInterrupted;

  RunOptions& run = options.run;
  if (run.directory.empty()) {
    run.directory = free_run_directory(options.description.name, run.protocol,
                                       std::chrono::system_clock::now());
  }
  const bool resumed = !options.resume.empty();
  const auto ready = resumed ? open_resumed(options, parts.value())
                             : prepare_run_directory(run.directory, config_text(options));
  if (!ready) return refuse("train", ready.error());
  run.options_text = config_text(options);
  // This very program, even where its file has been replaced meanwhile.
  run.worker_command = {"/proc/self/exe", "worker", "--config",
                        (run.directory / "config.ini").string()};
  run.group_command = run.worker_command;
  run.group_command[1] = "group";

  std::FILE* const people = options.json ? stderr : stdout;
  if (!options.quiet) {
    fmt::print(
        people, "{}\n",
        train_banner(options, parts.value().network, parts.value().data, parts.value().device));
    std::fflush(people);
  }
  ProgressLine line(people);
  const auto summary =
      run_in_system(options, parts.value(), control, options.quiet ? nullptr : &line);
  line.finish();
  if (!summary) {
    std::fflush(people);
    print_mistake("train", summary.error().message);
    if (!resumed) abandon_run_directory(run.directory);
    return exit_code(summary.error());
  }
  if (options.json) {
    fmt::print("{}", summary_json(summary.value()));
  } else {
    fmt::print("{}{}", options.quiet ? "" : "\n", train_results(options, summary.value()));
  }
  return summary.value().ended_by == "interrupt" ? kInterrupted : kDone;
}

}  // namespace paceline
