// What was given: options by name, as text, with the place they came from; read off a command line,
// an environment or an INI file by Boost.Program_options. What the text means, its reader decides.
//   GO-1 A name that is not in the table is refused, naming the nearest; nothing is abbreviated.
//   GO-2 The same option twice in one place is refused: neither wins.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "paceline/result.h"

namespace paceline {

/// An option as help and the readers need it.
struct OptionName {
  std::string name;  ///< "tau-global"
  std::string
      argument;  ///< "N" in help; empty for a switch, which on a command line needs no value
  std::string help;
};

struct GivenValue {
  std::string text;
  std::string
      origin;  ///< for messages: "--tau-global", "PACELINE_TAU_GLOBAL", "run.ini: tau-global"
};
using GivenOptions = std::map<std::string, GivenValue>;

struct CommandLine {
  GivenOptions options;
  std::vector<std::string> arguments;  ///< what is no option, in order
};

/// @param words         without the program's and the command's names
/// @param most          how many plain arguments the command takes
Result<CommandLine> read_command_line(std::span<const std::string> words,
                                      std::span<const OptionName> options, std::size_t most);

/// PACELINE_TAU_GLOBAL gives tau-global; any other PACELINE_ variable is refused, but
/// PACELINE_CACHE, which is the engine's.
/// @param environment  "NAME=VALUE" each
Result<GivenOptions> read_environment(std::span<const std::string> environment,
                                      std::span<const OptionName> options);

/// Lines of `name = value`; '#' starts a comment.
/// @param asked_by  the option that named the file, for messages
Result<GivenOptions> read_ini(const std::filesystem::path& file,
                              std::span<const OptionName> options,
                              std::string_view asked_by = "--config");

/// One value of an INI file, whatever else stands in it; nullopt where it is not there.
std::optional<std::string> read_ini_value(const std::filesystem::path& file,
                                          const std::string& name);

/// Whether a switch was given, and not as "off".
Result<bool> given_switch(const GivenOptions& given, const std::string& name);
/// A whole number from 1 to `most`; `otherwise` if it was not given.
Result<std::uint64_t> given_count(const GivenOptions& given, const std::string& name,
                                  std::uint64_t otherwise, std::uint64_t most);
/// A text; `otherwise` if it was not given.
std::string given_text(const GivenOptions& given, const std::string& name,
                       const std::string& otherwise);

/// The options as a table for people, below what the command does.
std::string options_help(std::string_view above, std::span<const OptionName> options);

}  // namespace paceline
