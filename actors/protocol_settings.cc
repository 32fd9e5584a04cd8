#include "paceline/actors/protocol_settings.h"

#include <algorithm>

namespace paceline {

Settings coordination_settings(const RunOptions& o) {
  return {{"mode", o.mode == Mode::barrier ? "barrier" : "nonblocking"},
          {"tau", fmt::format("{}", o.tau)},
          {"tau_global", fmt::format("{}", o.tau_global)},
          {"pull", fmt::format("{}", o.pull)},
          {"pull_global", fmt::format("{}", o.pull_global)},
          {"score_window", fmt::format("{}", o.score_window)},
          {"staleness", fmt::format("{}", o.staleness)},
          {"lockstep", o.deterministic ? "true" : "false"}};
}

Settings settings_for(const Protocol& protocol, const RunOptions& options) {
  Settings settings = coordination_settings(options);
  const std::vector<std::string> known = protocol.setting_names();
  std::erase_if(settings,
                [&](const auto& s) { return std::ranges::find(known, s.first) == known.end(); });
  for (const auto& [name, value] : options.set) settings[name] = value;
  return settings;
}

std::uint64_t settled_every(const Protocol& protocol, const RunOptions& options) {
  const std::vector<std::string> known = protocol.setting_names();
  const auto has = [&](const char* name) {
    return std::ranges::find(known, name) != known.end();
  };
  return has("tau_global") ? options.tau_global : has("tau") ? options.tau : 1;
}

}  // namespace paceline
