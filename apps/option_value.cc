#include "paceline/apps/option_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "paceline/layers/nearest.h"

namespace paceline {
namespace {

template <class Number>
bool read_whole(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

Result<std::uint64_t> parse_count(std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t value = 0;
  if (!read_whole(text, value) || value < least || value > most) {
    return fail(std::errc::invalid_argument, "'{}' is not a whole number from {} to {}", text,
                least, most);
  }
  return value;
}

Result<double> parse_real(std::string_view text) {
  double value = 0;
  if (!read_whole(text, value) || !std::isfinite(value)) {
    return fail(std::errc::invalid_argument, "'{}' is not a finite number such as 0.1 or 1e-4",
                text);
  }
  return value;
}

Result<double> parse_positive(std::string_view text) {
  PACELINE_TRY(const double value, parse_real(text));
  if (value <= 0) {
    return fail(std::errc::invalid_argument, "'{}' is not a number above 0", text);
  }
  return value;
}

Result<bool> parse_switch(std::string_view text) {
  static constexpr std::array<std::string_view, 4> kOn{"on", "yes", "true", "1"},
      kOff{"off", "no", "false", "0"};
  if (std::ranges::find(kOn, text) != kOn.end()) return true;
  if (std::ranges::find(kOff, text) != kOff.end()) return false;
  return fail(std::errc::invalid_argument, "'{}' is neither on nor off", text);
}

Result<std::size_t> parse_word(std::string_view text, std::span<const std::string> words) {
  const auto found = std::ranges::find(words, text);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  return fail(std::errc::invalid_argument, "'{}' is not known{}", text, suggestion(text, words));
}

std::string show_real(double value) { return fmt::format("{}", value); }

std::string suggestion(std::string_view word, std::span<const std::string> candidates) {
  const std::string near = nearest(word, candidates);
  if (!near.empty()) return fmt::format("; did you mean '{}'?", near);
  return fmt::format("; it is one of {}", fmt::join(candidates, ", "));
}

}  // namespace paceline
