// Constants set by name: `tau=4`, `mode=barrier`, `pull=0.1`. A struct names its fields once,
// in `template <class F> void each(F f) { f("tau", tau); ... }`.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "paceline/result.h"

namespace paceline {

using Settings = std::map<std::string, std::string>;

/// `key=value;key=value`, in the order given. @return an error that names what is no such pair
Result<std::vector<std::pair<std::string, std::string>>> parse_pairs(std::string_view text);
/// The same as settings; a key that comes twice is an error.
Result<Settings> parse_settings(std::string_view text);
/// As parse_settings() reads it.
std::string show_settings(const Settings& settings);

/// The words for the values of an enumeration, from 0: specialise `words`.
template <class E>
struct SettingWords;

// Each parses all of `text` or says what would do.
Result<> parse_setting(std::string_view key, std::string_view text, std::uint64_t& value);
Result<> parse_setting(std::string_view key, std::string_view text, double& value);  ///< finite
Result<> parse_setting(std::string_view key, std::string_view text, bool& value);  ///< true, false
Result<std::size_t> parse_word(std::string_view key, std::string_view text,
                               std::span<const std::string_view> words);

template <class E>
requires std::is_enum_v<E> Result<> parse_setting(std::string_view key, std::string_view text,
                                                  E& value) {
  PACELINE_TRY(const std::size_t at, parse_word(key, text, SettingWords<E>::words));
  value = static_cast<E>(at);
  return success();
}

template <class T>
std::vector<std::string> setting_names(T& settings) {
  std::vector<std::string> names;
  settings.each([&](const char* key, auto&) { names.emplace_back(key); });
  return names;
}

std::string show_setting(std::uint64_t value);
std::string show_setting(double value);
std::string show_setting(bool value);
template <class E>
requires std::is_enum_v<E> std::string show_setting(E value) {
  return std::string(SettingWords<E>::words[static_cast<std::size_t>(value)]);
}
/// Its fields as settings.
template <class T>
Settings shown(T& settings) {
  Settings all;
  settings.each([&](const char* key, auto& value) { all.emplace(key, show_setting(value)); });
  return all;
}

/// The error for a key that none of `names` is.
Error unknown_setting(std::string_view key, const std::vector<std::string>& names);

/// Sets the fields of `target` that `settings` name; an unknown key is an error.
template <class T>
Result<> assign(T& target, const Settings& settings) {
  Settings left = settings;
  Result<> result = success();
  target.each([&](const char* key, auto& value) {
    const auto it = left.find(key);
    if (it == left.end() || !result) return;
    result = parse_setting(it->first, it->second, value);
    left.erase(it);
  });
  PACELINE_TRYV(std::move(result));
  if (!left.empty()) return unknown_setting(left.begin()->first, setting_names(target));
  return success();
}

}  // namespace paceline
