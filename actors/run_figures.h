// What a run is told by: its progress line, and the sums of what its workers have done. Read from the
// run's words, whoever writes them. Threading: the run's thread.
#pragma once

#include "paceline/actors/run_context.h"
#include "paceline/actors/summary.h"

namespace paceline {

/// @param phase  "train", "evaluate"
Progress progress_of(const RunContext& context, const char* phase);

/// Adds what all seats have counted and spent, and how the run went.
/// @param before  what the data had been read when the run began: it may have served another
void add_figures(const RunContext& context, const Reading& before, RunSummary& summary);

}  // namespace paceline
