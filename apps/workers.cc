#include "paceline/apps/workers.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "paceline/actors/crew_desk.h"
#include "paceline/apps/given_options.h"
#include "paceline/apps/option_value.h"

namespace paceline {
namespace {

constexpr std::uint64_t kUsualWait = 120, kLongestWait = 86'400, kMostWorkers = 4096;

const std::vector<OptionName>& option_names() {
  static const std::vector<OptionName> names{
      {"wait", "S", fmt::format("seconds to wait until it has happened (default {})", kUsualWait)},
      {"help", "", "this list"}};
  return names;
}

/// "+2" or "-1".
bool is_change(std::string_view word) {
  return word.size() > 1 && (word[0] == '+' || word[0] == '-') &&
         std::ranges::all_of(word.substr(1), [](char c) { return c >= '0' && c <= '9'; });
}

Result<std::int32_t> read_change(const std::string& word) {
  const auto n = parse_count(word.substr(1), 1, kMostWorkers);
  if (!n) return fail(std::errc::invalid_argument, "{}: {}", word, n.error().message);
  const auto by = static_cast<std::int32_t>(n.value());
  return word[0] == '-' ? -by : by;
}

Result<std::string> ask(const CommandLine& line, const std::vector<std::string>& changes) {
  if (changes.size() != 1 || line.arguments.size() != 1)
    return fail(std::errc::invalid_argument,
                "give a run's folder and how many workers more or fewer: paceline workers RUN +2, "
                "or -1");
  PACELINE_TRY(const std::int32_t by, read_change(changes[0]));
  PACELINE_TRY(const std::uint64_t wait,
               given_count(line.options, "wait", kUsualWait, kLongestWait));
  return ask_for_crew_change(line.arguments[0], by, std::chrono::seconds(wait));
}

}  // namespace

ExitCode workers(std::span<const std::string> arguments) {
  // -1 is no option.
  std::vector<std::string> words, changes;
  for (const std::string& word : arguments) (is_change(word) ? changes : words).push_back(word);
  const auto line = read_command_line(words, option_names(), 1);
  if (!line) return refuse("workers", line.error());
  const auto help = given_switch(line.value().options, "help");
  if (!help) return refuse("workers", help.error());
  if (help.value()) {
    fmt::print("{}", options_help("paceline workers RUN +N|-N [OPTION]...\n\n"
                                  "Adds workers to the run of this folder, while it goes on, or "
                                  "removes some. Who is\nadded begins where the leader is; who is "
                                  "removed finishes its step.\n",
                                  option_names()));
    return kDone;
  }
  const auto said = ask(line.value(), changes);
  if (!said) {
    print_mistake("workers", said.error().message);
    return exit_code(said.error());
  }
  fmt::print("{}\n", said.value());
  return kDone;
}

}  // namespace paceline
