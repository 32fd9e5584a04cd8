#include "paceline/apps/protocols.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "paceline/actors/simulation/step_traffic.h"
#include "paceline/apps/given_options.h"

namespace paceline {
namespace {

constexpr Place kPlace{1, 4};

std::vector<OptionName> option_names() {
  return {{"json", "", "standard output is JSON alone"}, {"help", "", "this list"}};
}

nlohmann::ordered_json described(const Protocol& protocol) {
  nlohmann::ordered_json options = nlohmann::ordered_json::object();
  const Settings usual = protocol.usual();
  for (const std::string& name : protocol.setting_names()) options[name] = usual.at(name);
  const auto bytes = bytes_per_parameter_step(protocol, {}, kPlace);
  return {{"protocol", protocol.name},
          {"about", protocol.about},
          {"paper", protocol.paper},
          {"options", options},
          {"bytes_per_parameter_step",
           bytes ? nlohmann::ordered_json(std::round(100 * bytes.value()) / 100) : nullptr},
          {"workers", protocol.sequential ? 1 : kPlace.workers()},
          {"sequential", protocol.sequential},
          {"simulator_alone", protocol.simulated_only}};
}

void print(const nlohmann::ordered_json& p) {
  std::string options;
  for (const auto& [name, value] : p.at("options").items())
    options += fmt::format("{}{}={}", options.empty() ? "" : " ", name, value.get<std::string>());
  const std::string note = p.at("sequential")        ? ", one worker"
                           : p.at("simulator_alone") ? ", in the simulator alone"
                                                     : "";
  fmt::print("{}: {}{}\n    {}\n    {}\n", p.at("protocol").get<std::string>(),
             p.at("about").get<std::string>(), note, p.at("paper").get<std::string>(),
             options.empty() ? "no options of its own" : options);
  if (p.at("bytes_per_parameter_step").is_number())
    fmt::print("    {:.4g} bytes a parameter and step\n",
               p.at("bytes_per_parameter_step").get<double>());
}

}  // namespace

ExitCode list_protocols(const std::vector<std::string>& words) {
  const std::vector<OptionName> names = option_names();
  const auto line = read_command_line(words, names, 0);
  const auto json = line ? given_switch(line.value().options, "json") : Result<bool>(false);
  if (!line || !json) {
    print_mistake("protocols", line ? json.error().message : line.error().message);
    return kMistaken;
  }
  if (line.value().options.contains("help")) {
    fmt::print("{}", options_help("paceline protocols: how workers can coordinate. Options are the "
                                  "defaults; bytes are sent and received by one of four workers.\n",
                                  names));
    return kDone;
  }
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const Protocol* protocol : protocols()) all.push_back(described(*protocol));
  if (json.value()) fmt::print("{}\n", nlohmann::ordered_json{{"protocols", all}}.dump(2));
  if (!json.value())
    for (const auto& protocol : all) print(protocol);
  return kDone;
}

}  // namespace paceline
