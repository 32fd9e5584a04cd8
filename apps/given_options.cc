#include "paceline/apps/given_options.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <cctype>
#include <fstream>
#include <sstream>
#include <utility>

#include "paceline/apps/option_value.h"

namespace paceline {
namespace {

namespace po = boost::program_options;

po::options_description describe(std::span<const OptionName> options) {
  constexpr unsigned kColumns = 100, kOfHelp = 68;
  po::options_description description(kColumns, kOfHelp);
  for (const OptionName& option : options) {
    auto* value = po::value<std::string>();
    if (option.argument.empty()) {
      value->implicit_value("on", "")->value_name(" ");
    } else {
      value->value_name(option.argument);
    }
    description.add_options()(option.name.c_str(), value, option.help.c_str());
  }
  return description;
}

std::vector<std::string> names(std::span<const OptionName> options, std::string_view prefix) {
  std::vector<std::string> all;
  for (const OptionName& option : options) all.push_back(std::string(prefix) + option.name);
  return all;
}

std::string environment_name(std::string_view option) {
  std::string name = fmt::format("PACELINE_{}", option);
  std::ranges::transform(name, name.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return name;
}

/// GO-2.
Result<> add(GivenOptions& given, const std::string& name, GivenValue value) {
  const std::string origin = value.origin;
  if (!given.emplace(name, std::move(value)).second) {
    return fail(std::errc::invalid_argument, "{} is given twice: give it once", origin);
  }
  return success();
}

bool is_switch(std::span<const OptionName> options, const std::string& name) {
  const auto found = std::ranges::find(options, name, &OptionName::name);
  return found != options.end() && found->argument.empty();
}

/// What the engine itself reads: no option, it changes no result.
constexpr std::string_view kCacheVariable = "PACELINE_CACHE";

/// "--no-such=3" as it was typed, without its value.
std::string typed_name(const std::string& token) { return token.substr(0, token.find('=')); }

}  // namespace

Result<CommandLine> read_command_line(std::span<const std::string> words,
                                      std::span<const OptionName> options, std::size_t most) {
  namespace style = po::command_line_style;
  const po::options_description description = describe(options);
  CommandLine line;
  try {
    const auto parsed =
        po::command_line_parser(std::vector<std::string>(words.begin(), words.end()))
            .options(description)
            .style(style::allow_long | style::long_allow_adjacent | style::long_allow_next)
            .run();
    for (const po::option& option : parsed.options) {
      if (option.position_key >= 0) {
        line.arguments.insert(line.arguments.end(), option.value.begin(), option.value.end());
        continue;
      }
      const std::string origin = "--" + option.string_key;
      std::string text = option.value.empty() ? "on" : option.value.front();
      // The parser takes the following word as the value, whatever it is.
      const bool followed = option.original_tokens.size() > 1;
      if (followed && is_switch(options, option.string_key)) {
        line.arguments.push_back(std::exchange(text, "on"));
      } else if (followed && text.starts_with("--")) {
        return fail(std::errc::invalid_argument, "{} needs a value, not {}", origin, text);
      }
      PACELINE_TRYV(add(line.options, option.string_key, {std::move(text), origin}));
    }
  } catch (const po::unknown_option& error) {
    const std::string name = typed_name(error.get_option_name());
    return fail(std::errc::invalid_argument, "no option {}{}", name,
                suggestion(name, names(options, "--")));
  } catch (const po::error_with_option_name& error) {
    return fail(std::errc::invalid_argument, "{} needs a value", error.get_option_name());
  } catch (const po::error& error) {
    return fail(std::errc::invalid_argument, "{}", error.what());
  }
  if (line.arguments.size() > most) {
    const std::string& extra = line.arguments[most];
    return fail(std::errc::invalid_argument, "'{}' is one argument too many{}", extra,
                extra.starts_with('-') ? suggestion(extra, names(options, "--"))
                                       : std::string(": options start with --"));
  }
  return line;
}

Result<GivenOptions> read_environment(std::span<const std::string> environment,
                                      std::span<const OptionName> options) {
  std::vector<std::string> variables;
  for (const OptionName& option : options) variables.push_back(environment_name(option.name));

  GivenOptions given;
  for (const std::string& entry : environment) {
    if (!entry.starts_with("PACELINE_")) continue;
    const std::size_t equals = std::min(entry.find('='), entry.size());
    const std::string variable = entry.substr(0, equals);
    if (variable == kCacheVariable) continue;
    const auto known = std::ranges::find(variables, variable);
    if (known == variables.end()) {
      return fail(std::errc::invalid_argument, "no option for the environment's {}{}", variable,
                  suggestion(variable, variables));
    }
    const OptionName& option = options[static_cast<std::size_t>(known - variables.begin())];
    PACELINE_TRYV(
        add(given, option.name, {entry.substr(std::min(equals + 1, entry.size())), variable}));
  }
  return given;
}

Result<GivenOptions> read_ini(const std::filesystem::path& file,
                              std::span<const OptionName> options, std::string_view asked_by) {
  std::error_code unreadable;
  std::ifstream stream(file);
  if (!stream || std::filesystem::is_directory(file, unreadable)) {
    return fail(std::errc::no_such_file_or_directory,
                "{} {}: cannot be read: give a file of 'name = value' lines", asked_by,
                file.string());
  }
  GivenOptions given;
  try {
    const po::options_description description = describe(options);
    const auto parsed = po::parse_config_file(stream, description, true);
    for (const po::option& option : parsed.options) {
      const std::string origin = file.string() + ": " + option.string_key;
      if (option.unregistered) {
        return fail(std::errc::invalid_argument, "{} is no option{}", origin,
                    suggestion(option.string_key, names(options, "")));
      }
      PACELINE_TRYV(add(given, option.string_key,
                        {option.value.empty() ? "" : option.value.front(), origin}));
    }
  } catch (const po::invalid_config_file_syntax& error) {
    return fail(std::errc::invalid_argument, "{} {}: '{}' is no 'name = value' line", asked_by,
                file.string(), error.tokens().substr(0, 40));
  } catch (const po::error& error) {
    return fail(std::errc::invalid_argument, "{} {}: {}", asked_by, file.string(), error.what());
  }
  if (stream.bad()) {
    return fail(std::errc::io_error, "{} {}: cannot be read to its end", asked_by, file.string());
  }
  return given;
}

std::optional<std::string> read_ini_value(const std::filesystem::path& file,
                                          const std::string& name) {
  std::ifstream stream(file);
  try {
    const auto parsed = po::parse_config_file(stream, po::options_description(), true);
    for (const po::option& option : parsed.options)
      if (option.string_key == name && !option.value.empty()) return option.value.front();
  } catch (const std::exception&) {  // no INI file
  }
  return std::nullopt;
}

Result<bool> given_switch(const GivenOptions& given, const std::string& name) {
  const auto found = given.find(name);
  if (found == given.end()) return false;
  auto value = parse_switch(found->second.text);
  if (!value) {
    return fail(std::errc::invalid_argument, "{}: {}", found->second.origin, value.error().message);
  }
  return value;
}

Result<std::uint64_t> given_count(const GivenOptions& given, const std::string& name,
                                  std::uint64_t otherwise, std::uint64_t most) {
  const auto found = given.find(name);
  if (found == given.end()) return otherwise;
  auto value = parse_count(found->second.text, 1, most);
  if (!value) {
    return fail(std::errc::invalid_argument, "{}: {}", found->second.origin, value.error().message);
  }
  return value;
}

std::string given_text(const GivenOptions& given, const std::string& name,
                       const std::string& otherwise) {
  const auto found = given.find(name);
  return found == given.end() ? otherwise : found->second.text;
}

std::string options_help(std::string_view above, std::span<const OptionName> options) {
  std::ostringstream text;
  text << above << '\n' << describe(options);
  return text.str();
}

}  // namespace paceline
