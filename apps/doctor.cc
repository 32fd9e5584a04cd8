#include "paceline/apps/doctor.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "paceline/apps/finding.h"
#include "paceline/apps/given_options.h"

namespace paceline {
namespace {

const std::vector<OptionName>& option_names() {
  static const std::vector<OptionName> names = {{"json", "", "standard output is JSON alone"},
                                                {"help", "", "this list"}};
  return names;
}

const char* name(Mark mark) {
  static constexpr std::array kNames{"ok", "note", "warn", "fail"};
  return kNames[static_cast<std::size_t>(mark)];
}

void print_table(const std::vector<Finding>& findings) {
  std::size_t widest = 0;
  for (const Finding& finding : findings) widest = std::max(widest, finding.subject.size());
  for (const Finding& finding : findings) {
    fmt::print("{:<4}  {:<{}}  {}\n", name(finding.mark), finding.subject, widest, finding.found);
    if (!finding.remedy.empty()) fmt::print("{:<{}}-> {}\n", "", widest + 8, finding.remedy);
  }
}

void print_json(const std::vector<Finding>& findings, bool usable) {
  nlohmann::ordered_json object{{"usable", usable}, {"findings", nlohmann::ordered_json::array()}};
  for (const Finding& finding : findings) {
    object["findings"].push_back({{"subject", finding.subject},
                                  {"mark", name(finding.mark)},
                                  {"found", finding.found},
                                  {"remedy", finding.remedy}});
  }
  fmt::print("{}\n", object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

ExitCode doctor(std::span<const std::string> arguments) {
  const auto line = read_command_line(arguments, option_names(), 0);
  if (!line) return refuse("doctor", line.error());
  if (line.value().options.contains("help")) {
    fmt::print("{}", options_help("paceline doctor [OPTION]...\n\n"
                                  "Says what this machine has for training and what it lacks.\n",
                                  option_names()));
    return kDone;
  }
  const auto json = given_switch(line.value().options, "json");
  if (!json) return refuse("doctor", json.error());
  std::vector<Finding> findings = examine_machine();
  std::ranges::move(examine_fabrics(), std::back_inserter(findings));
  std::ranges::move(examine_software(), std::back_inserter(findings));
  const bool usable = std::ranges::none_of(
      findings, [](const Finding& finding) { return finding.mark == Mark::fail; });
  if (json.value()) {
    print_json(findings, usable);
  } else {
    print_table(findings);
    fmt::print("\n{}\n", usable ? "This machine can train." : "This machine cannot train yet.");
  }
  return usable ? kDone : kFailed;
}

}  // namespace paceline
