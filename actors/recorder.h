// The recorder writes what happens to metrics.jsonl and keeps the live state. Detached: it waits
// for the disk. One JSON object a line: v, t (training seconds), event
// (step|score|leader|pull|read|evaluate|fault|checkpoint), node, group, worker, round, and what the event adds;
// docs/metrics.md lists the fields.
//   RC-1 The first write error ends the writing, not the run's memory of it: Flush answers with
//        that error.
#pragma once

#include "paceline/actors/metrics_file.h"
#include "paceline/actors/run_context.h"

namespace paceline {

RecorderActor spawn_recorder(caf::actor_system& system, MetricsFile file, RunContext* context);

}  // namespace paceline
