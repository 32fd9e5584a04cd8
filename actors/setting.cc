#include "paceline/actors/setting.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace paceline {
namespace {

template <class T>
bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

Error bad_value(std::string_view key, std::string_view text, std::string_view wanted) {
  return fail(std::errc::invalid_argument, "{} is \"{}\": give {}", key, text, wanted);
}

}  // namespace

Result<std::vector<std::pair<std::string, std::string>>> parse_pairs(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> result;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const std::size_t at = pair.find('=');
    if (at == std::string_view::npos || at == 0 || at + 1 == pair.size())
      return fail(std::errc::invalid_argument, "'{}' is not key=value", pair);
    result.emplace_back(pair.substr(0, at), pair.substr(at + 1));
  }
  return result;
}

Result<Settings> parse_settings(std::string_view text) {
  PACELINE_TRY(const auto pairs, parse_pairs(text));
  Settings settings;
  for (const auto& [key, value] : pairs)
    if (!settings.emplace(key, value).second)
      return fail(std::errc::invalid_argument, "{} is given twice", key);
  return settings;
}

std::string show_settings(const Settings& settings) {
  std::string text;
  for (const auto& [key, value] : settings)
    text += fmt::format("{}{}={}", text.empty() ? "" : ";", key, value);
  return text;
}

Result<> parse_setting(std::string_view key, std::string_view text, std::uint64_t& value) {
  if (!parse_number(text, value)) return bad_value(key, text, "a whole number of 0 or more");
  return success();
}

Result<> parse_setting(std::string_view key, std::string_view text, double& value) {
  double number = 0;
  if (!parse_number(text, number) || !std::isfinite(number))
    return bad_value(key, text, "a finite number");
  value = number;
  return success();
}

Result<> parse_setting(std::string_view key, std::string_view text, bool& value) {
  static constexpr std::string_view kWords[] = {"false", "true"};
  PACELINE_TRY(const std::size_t at, parse_word(key, text, kWords));
  value = at == 1;
  return success();
}

Result<std::size_t> parse_word(std::string_view key, std::string_view text,
                               std::span<const std::string_view> words) {
  for (std::size_t i = 0; i < words.size(); ++i)
    if (words[i] == text) return i;
  return bad_value(key, text, fmt::format("one of {}", fmt::join(words, ", ")));
}

std::string show_setting(std::uint64_t value) { return fmt::format("{}", value); }
std::string show_setting(double value) { return fmt::format("{}", value); }
std::string show_setting(bool value) { return value ? "true" : "false"; }

Error unknown_setting(std::string_view key, const std::vector<std::string>& names) {
  return fail(std::errc::invalid_argument, "no setting \"{}\" in this protocol: it has {}", key,
              fmt::join(names, ", "));
}

}  // namespace paceline
