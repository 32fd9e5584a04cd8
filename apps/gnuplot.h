// Pictures by gnuplot, which has to be installed for them.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "paceline/result.h"

namespace paceline {

inline constexpr const char* kSvgTerminal =
    "set terminal svg size 760,480 dynamic background 'white' font 'sans,12'\n";

/// A text as gnuplot's scripts hold it, quotes included.
std::string gnuplot_text(std::string_view text);

/// Runs the script that `script` makes of the name of a file with `data`.
/// @param prefix  of files that are there only meanwhile
/// @return an error: they cannot be written, or gnuplot did not do it
Result<> draw(const std::string& prefix, const std::string& data,
              const std::function<std::string(const std::string& file)>& script);

}  // namespace paceline
