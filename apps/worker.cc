#include "paceline/apps/worker.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <csignal>
#include <vector>

#include "paceline/actors/caf_compat.h"
#include "paceline/actors/worker_process.h"
#include "paceline/apps/given_options.h"
#include "paceline/apps/option_value.h"
#include "paceline/apps/run_parts.h"
#include "paceline/apps/train_options.h"
#include "paceline/net/arena.h"
#include "paceline/net/child_process.h"

namespace paceline {
namespace {

constexpr std::size_t kThreads = 2;  // for the front and a few proxies

const std::vector<OptionName>& option_names() {
  static const std::vector<OptionName> names{
      {"config", "FILE", "the run's config.ini"},
      {"segment", "NAME", "the shared memory of the run's node"},
      {"rank", "R", "which worker of the run"},
      {"help", "", "this list"}};
  return names;
}

Result<> ride(const GivenOptions& given) {
  for (const char* name : {"config", "segment", "rank"})
    if (!given.contains(name))
      return fail(std::errc::invalid_argument,
                  "no --{}: paceline train --isolation process starts its workers by itself", name);
  prctl(PR_SET_NAME, ("paceline-w" + given.at("rank").text).c_str());  // for ps and top
  WorkerSeat seat{given.at("segment").text, 0};
  PACELINE_TRY(const std::size_t rank, parse_count(given.at("rank").text, 0, kNobody - 1));
  seat.rank = static_cast<Rank>(rank);
  const auto creator = Arena::creator(seat.segment);
  if (!creator)
    return fail(std::errc::invalid_argument, "--segment {}: no segment of paceline's",
                seat.segment);
  PACELINE_TRYV(die_with_parent(*creator));

  // The run's environment has already been read into its config.ini.
  const std::vector<std::string> arguments{"--config", given.at("config").text};
  PACELINE_TRY(const TrainOptions options, parse_train_options(arguments, {}));
  PACELINE_TRY(const RunParts parts, open_run_parts(options, seat.rank));
  caf::actor_system_config config;
  use_sharing_scheduler(config, kThreads);
  caf::actor_system system(config);
  return ride_in_process(system, seat, options.run, parts.network, parts.data);
}

}  // namespace

ExitCode worker(std::span<const std::string> arguments) {
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  spdlog::set_default_logger(spdlog::stderr_color_mt("paceline"));
  const auto line = read_command_line(arguments, option_names(), 0);
  if (!line) return refuse("worker", line.error());
  const auto help = given_switch(line.value().options, "help");
  if (!help) return refuse("worker", help.error());
  if (help.value()) {
    fmt::print("{}", options_help("paceline worker --config FILE --segment NAME --rank R\n\n"
                                  "One worker of a run, in a process of its own. paceline train "
                                  "--isolation process\nstarts its workers by itself.\n",
                                  option_names()));
    return kDone;
  }
  if (const auto rode = ride(line.value().options); !rode) {
    print_mistake("worker", rode.error().message);
    return exit_code(rode.error());
  }
  return kDone;
}

}  // namespace paceline
