// Values of options, from text and back: checked where Boost.Program_options is not (its
// conversion takes -1 for an unsigned number and "nan" for a real one). Any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "paceline/result.h"

namespace paceline {

/// A whole number, digits alone. The error says what is needed, without the option's name.
Result<std::uint64_t> parse_count(std::string_view text, std::uint64_t least = 0,
                                  std::uint64_t most = std::numeric_limits<std::uint64_t>::max());

/// A finite number.
Result<double> parse_real(std::string_view text);
/// A finite number above zero.
Result<double> parse_positive(std::string_view text);

/// on|off, also yes|no, true|false, 1|0.
Result<bool> parse_switch(std::string_view text);

/// One of the words, by its index; the error names the nearest.
Result<std::size_t> parse_word(std::string_view text, std::span<const std::string> words);

/// The shortest text that reads back as the same number.
std::string show_real(double value);

/// "; did you mean 'WORD'?", or "; it is one of A, B, C" where none is near.
std::string suggestion(std::string_view word, std::span<const std::string> candidates);

}  // namespace paceline
