#include "paceline/apps/train_report.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <thread>

#include "paceline/actors/checkpoint.h"
#include "paceline/apps/readable_number.h"
#include "paceline/apps/skipped_text.h"

namespace paceline {
namespace {

std::string percent(double fraction) {
  return std::isfinite(fraction) ? fmt::format("{:.2f} %", 100 * fraction) : "not measured";
}

std::string budget(const RunOptions& run) {
  if (run.steps > 0) return fmt::format("{} steps a worker", grouped(run.steps));
  if (run.epochs > 0) return fmt::format("{} epochs", run.epochs);
  return fmt::format("{} min of training", run.minutes);
}

}  // namespace

std::string train_banner(const TrainOptions& options, const Network& network, const Data& data,
                         std::string_view device) {
  const RunOptions& run = options.run;
  const Shape image = network.image();
  std::string text;
  text += fmt::format("data      {}: {} images to learn from, {} to test on\n", data.name,
                      grouped(data.train->size()), grouped(data.test->size()));
  if (data.held_out)
    text += "          no val/ or test/: a tenth of each class is held out to test on\n";
  if (data.ignored_files > 0) {
    text += fmt::format("          {} other file{} ignored\n", grouped(data.ignored_files),
                        data.ignored_files == 1 ? "" : "s");
  }
  text += fmt::format("network   {}: {} parameters, {}x{}x{} images, {} classes\n", network.name(),
                      grouped(network.layout().parameters), image.channels, image.height,
                      image.width, network.classes());
  text += fmt::format("workers   {} in {} group{}, {} images a step each, protocol {}, {}\n",
                      run.workers, run.groups, run.groups == 1 ? "" : "s", run.batch, run.protocol,
                      run.mode == Mode::barrier ? "barrier" : "nonblocking");
  const std::uint64_t threads = std::uint64_t{run.workers} * run.threads;
  const unsigned cores = std::thread::hardware_concurrency();  // that this process may use
  if (cores > 0 && threads > cores) {
    text += fmt::format("          notice: {} x {} thread{} on {} core{} take turns\n", run.workers,
                        run.threads, run.threads == 1 ? "" : "s", cores, cores == 1 ? "" : "s");
  }
  for (const char* label = "device    "; !device.empty(); label = "          ") {
    const std::size_t end = std::min(device.find('\n'), device.size());
    text += fmt::format("{}{}\n", label, device.substr(0, end));
    device.remove_prefix(std::min(end + 1, device.size()));
  }
  text += fmt::format("budget    {}\n", budget(run));
  if (run.checkpoint_steps > 0)
    text += fmt::format("saves     every {} steps of a worker\n", grouped(run.checkpoint_steps));
  if (run.checkpoint_seconds > 0)
    text += fmt::format("saves     every {} s of training\n", run.checkpoint_seconds);
  if (run.resume)
    text += fmt::format("goes on   from {}: {} steps, {:.1f} s of training\n",
                        run.resume->path.string(), grouped(run.resume->steps),
                        run.resume->train_seconds);
  text += fmt::format("run       {}\n", run.directory.string());
  return text;
}

std::string train_results(const TrainOptions& options, const RunSummary& summary) {
  const std::string run = options.run.directory.string();
  std::string text;
  text += fmt::format("test error  {} (leader), {} (mean of the workers)\n",
                      percent(summary.test_error_leader), percent(summary.test_error_mean));
  text += fmt::format(
      "trained     {:.1f} s, {} steps, {:.0f} images/s; coordination took {}; ended by {}\n",
      summary.train_seconds, grouped(summary.steps), summary.images_per_second,
      percent(summary.coordination_fraction), summary.ended_by);
  if (summary.decode_cpu_seconds > 0) {
    text += fmt::format("decoding    {:.1f} s of CPU; workers waited {:.1f} s for it\n",
                        summary.decode_cpu_seconds, summary.data_wait_seconds);
  }
  if (!summary.skipped.empty()) {
    text +=
        fmt::format("skipped     {}; all in {}/skipped.txt\n", skipped_text(summary.skipped), run);
  }
  text += fmt::format(
      "written     {}: summary.json, metrics.jsonl, leader.safetensors, config.ini\n", run);
  text += fmt::format("next        paceline eval {}/leader.safetensors\n", run);
  if (options.run.checkpoints() && summary.ended_by == "interrupt")
    text += fmt::format("            paceline train --resume {}\n", run);
  return text;
}

}  // namespace paceline
