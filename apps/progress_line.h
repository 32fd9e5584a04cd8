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

class ProgressLine {
 public:
  /// @param out  borrowed; a terminal is drawn on, anything else gets lines
  explicit ProgressLine(std::FILE* out);
  void show(const Progress& progress);
  /// Ends the line on a terminal, so that what follows starts on one of its own.
  void finish();

 private:
  std::FILE* out_;
  bool terminal_;
  bool open_ = false;  ///< the cursor stands behind a drawn line
  std::optional<std::chrono::steady_clock::time_point> last_;
};

}  // namespace paceline
