#include "paceline/apps/group.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <csignal>
#include <thread>
#include <vector>

#include "paceline/actors/caf_compat.h"
#include "paceline/actors/group_process.h"
#include "paceline/apps/given_options.h"
#include "paceline/apps/option_value.h"
#include "paceline/apps/run_parts.h"
#include "paceline/apps/train_options.h"
#include "paceline/net/child_process.h"

namespace paceline {
namespace {

const std::vector<OptionName>& option_names() {
  static const std::vector<OptionName> names{{"config", "FILE", "the run's config.ini"},
                                             {"group", "G", "which group of the run, from 1"},
                                             {"help", "", "this list"}};
  return names;
}

Result<> host(const GivenOptions& given) {
  for (const char* name : {"config", "group"})
    if (!given.contains(name))
      return fail(std::errc::invalid_argument,
                  "no --{}: paceline train --fabric starts its groups by itself", name);
  PACELINE_TRY(const std::size_t number, parse_count(given.at("group").text, 1, kNobody - 1));
  PACELINE_TRY(const GroupSeat seat,
               GroupSeat::take_from_environment(static_cast<std::uint32_t>(number)));
  prctl(PR_SET_NAME, ("paceline-g" + given.at("group").text).c_str());  // for ps and top
  PACELINE_TRYV(die_with_parent(seat.home));

  // The run's environment has already been read into its config.ini.
  const std::string config_file = given.at("config").text;
  const std::vector<std::string> arguments{"--config", config_file};
  PACELINE_TRY(TrainOptions options, parse_train_options(arguments, {}));
  PACELINE_TRY(const RunParts parts, open_run_parts(options));
  options.run.worker_command = {"/proc/self/exe", "worker", "--config", config_file};
  caf::actor_system_config config;
  use_sharing_scheduler(config, std::max(std::thread::hardware_concurrency(), 1U));
  caf::actor_system system(config);
  return host_group(system, seat, options.run, parts.network, parts.data);
}

}  // namespace

ExitCode group(std::span<const std::string> arguments) {
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  spdlog::set_default_logger(spdlog::stderr_color_mt("paceline"));
  const auto line = read_command_line(arguments, option_names(), 0);
  if (!line) return refuse("group", line.error());
  const auto help = given_switch(line.value().options, "help");
  if (!help) return refuse("group", help.error());
  if (help.value()) {
    fmt::print("{}", options_help("paceline group --config FILE --group G\n\n"
                                  "One group of a run, in a process of its own. paceline train "
                                  "--fabric starts its\ngroups by itself.\n",
                                  option_names()));
    return kDone;
  }
  if (const auto hosted = host(line.value().options); !hosted) {
    print_mistake("group", hosted.error().message);
    return exit_code(hosted.error());
  }
  return kDone;
}

}  // namespace paceline
