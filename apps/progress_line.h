// Where a run stands, in one line: redrawn in place on a terminal, a plain line every few seconds
// elsewhere. Called from one thread.
#pragma once

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

#include "paceline/actors/run.h"

namespace paceline {

/// The line for people, cut to `width` columns; a bar of what is done where there is room.
std::string progress_text(const Progress& progress, std::size_t width);

/// 75.2 as "1:16", 3600 as "1:00:00".
std::string clock_text(double seconds);

class ProgressLine {
 public:
  /// @param out  borrowed; a terminal is drawn on, anything else gets lines
  explicit ProgressLine(std::FILE* out);
  void show(const Progress& progress);
  /// Redraws it as `text` on a terminal, whose width cuts it; nothing elsewhere.
  void show(std::string_view text);
  /// Ends the line on a terminal, so that what follows starts on one of its own.
  void finish();

 private:
  std::FILE* out_;
  bool terminal_;
  bool open_ = false;  ///< the cursor stands behind a drawn line
  std::optional<std::chrono::steady_clock::time_point> last_;
};

}  // namespace paceline
