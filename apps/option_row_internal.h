// Rows of the table of training options, and makers of the usual ones. A field is a generic lambda,
// [](auto& o) -> auto& { return o.run.tau; }, and so serves reader and printer.
#pragma once

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "paceline/apps/given_options.h"
#include "paceline/apps/option_value.h"
#include "paceline/apps/train_options.h"

namespace paceline {

/// A row of the table.
struct Row {
  OptionName name;
  std::function<Result<>(TrainOptions&, const std::string&)> read;
  /// Empty for options that do not decide a run; nullopt for those that were not given.
  std::function<std::optional<std::string>(const TrainOptions&)> show;
};

template <class Field>
Row count(const char* name, const char* help, Field field) {
  using Number = std::remove_cvref_t<decltype(field(std::declval<TrainOptions&>()))>;
  return {{name, "N", help},
          [field](TrainOptions& o, const std::string& text) -> Result<> {
            PACELINE_TRY(const std::uint64_t value,
                         parse_count(text, 0, std::numeric_limits<Number>::max()));
            field(o) = static_cast<Number>(value);
            return success();
          },
          [field](const TrainOptions& o) { return std::to_string(field(o)); }};
}

template <class Field>
Row real(const char* name, const char* argument, const char* help, Field field) {
  return {{name, argument, help},
          [field](TrainOptions& o, const std::string& text) -> Result<> {
            PACELINE_TRY(field(o), parse_real(text));
            return success();
          },
          [field](const TrainOptions& o) { return show_real(field(o)); }};
}

/// Refuses what an INI file cannot hold: it would come back from config.ini as something else.
inline Result<> check_ini_text(const std::string& value) {
  const bool trimmed = value.empty() || value.front() == ' ' || value.back() == ' ';
  if (trimmed || std::ranges::any_of(value, [](unsigned char c) { return c < 0x20 || c == '#'; })) {
    return fail(std::errc::invalid_argument,
                "'{}' is empty or has what a configuration file cannot hold ('#', line breaks, "
                "outer blanks): choose another name",
                value);
  }
  return success();
}

template <class Field>
Row text(const char* name, const char* argument, const std::string& help, Field field) {
  return {{name, argument, help},
          [field](TrainOptions& o, const std::string& value) -> Result<> {
            PACELINE_TRYV(check_ini_text(value));
            field(o) = value;
            return success();
          },
          [field](const TrainOptions& o) { return std::string(field(o)); }};
}

template <class Field, class Enum>
Row word(const char* name, const char* help, std::vector<std::pair<std::string, Enum>> values,
         Field field) {
  std::vector<std::string> words;
  for (const auto& [spelling, value] : values) words.push_back(spelling);
  return {
      {name, fmt::format("{}", fmt::join(words, "|")), help},
      [field, values, words](TrainOptions& o, const std::string& given) -> Result<> {
        PACELINE_TRY(const std::size_t index, parse_word(given, words));
        field(o) = values[index].second;
        return success();
      },
      [field, values](const TrainOptions& o) {
        return std::ranges::find(values, field(o), [](const auto& v) { return v.second; })->first;
      }};
}

template <class Field>
Row flag(const char* name, const char* help, Field field) {
  return {{name, "", help},
          [field](TrainOptions& o, const std::string& given) -> Result<> {
            PACELINE_TRY(field(o), parse_switch(given));
            return success();
          },
          [field](const TrainOptions& o) { return std::string(field(o) ? "on" : "off"); }};
}

/// Changes what is printed, not the run.
inline Row silent(Row row) {
  row.show = nullptr;
  return row;
}

/// Zero, the field's way to say "not given", cannot be given.
template <class Field>
Row above_zero(Row row, Field field) {
  row.read = [field, read = row.read](TrainOptions& o, const std::string& given) -> Result<> {
    PACELINE_TRYV(read(o, given));
    if (!(field(o) > 0)) {
      return fail(std::errc::invalid_argument, "'{}' is not above 0", given);
    }
    return success();
  };
  row.show = [field, show = row.show](const TrainOptions& o) {
    return field(o) > 0 ? show(o) : std::nullopt;
  };
  return row;
}

/// Zero, the field's default, turns something off and is not shown.
template <class Field>
Row off_at_zero(Row row, Field field) {
  row.show = [field, show = row.show](const TrainOptions& o) {
    return field(o) != 0 ? show(o) : std::nullopt;
  };
  return row;
}

/// An empty text is one that was not given.
template <class Field>
Row off_when_empty(Row row, Field field) {
  row.show = [field, show = row.show](const TrainOptions& o) {
    return field(o).empty() ? std::nullopt : show(o);
  };
  return row;
}

/// The field of TrainOptions by its name.
#define PACELINE_FIELD(member) \
  [](auto& o) -> auto& { return o.member; }

}  // namespace paceline
