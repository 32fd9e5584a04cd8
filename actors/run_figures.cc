#include "paceline/actors/run_figures.h"

#include <algorithm>
#include <cmath>

#include "paceline/actors/pinning.h"
#include "paceline/actors/protocol_settings.h"

namespace paceline {

Progress progress_of(const RunContext& context, const char* phase) {
  const LiveState& live = context.live;
  Progress p;
  p.train_seconds = context.train_seconds();
  p.steps = live.steps.load();
  p.steps_planned = context.steps_planned;
  p.images_per_second = p.train_seconds > 0
                            ? static_cast<double>(p.steps * context.options.batch) / p.train_seconds
                            : 0;
  if (context.options.minutes > 0)
    p.seconds_left = std::max(0.0, 60 * context.options.minutes - p.train_seconds);
  else if (p.steps > 0)
    p.seconds_left = p.train_seconds *
                     static_cast<double>(p.steps_planned - std::min(p.steps, p.steps_planned)) /
                     static_cast<double>(p.steps);
  if (live.leader.load() != kNobody) p.leader = live.leader.load();
  if (std::isfinite(live.leader_score.load())) p.loss = live.leader_score.load();
  if (std::isfinite(live.test_error.load())) p.test_error = live.test_error.load();
  p.phase = phase;
  return p;
}

void add_figures(const RunContext& context, const Reading& before, RunSummary& summary) {
  summary.train_seconds = context.train_seconds();
  summary.steps = context.live.steps.load();
  summary.images_per_second =
      static_cast<double>(summary.steps * context.options.batch) / summary.train_seconds;
  summary.learning_rate = context.live.learning_rate.load();
  summary.leader_changes = context.live.leader_changes.load();
  summary.seed = context.options.seed;
  for (Rank rank = 0; rank < context.place.workers(); ++rank)
    summary.devices.push_back(context.turns.of(rank));
  summary.protocol = context.protocol->name;
  summary.settings = settings_for(*context.protocol, context.options);
  summary.settings.merge(context.protocol->usual());
  if (context.options.pin)
    for (Rank rank = 0; rank < context.place.workers(); ++rank)
      summary.pinned.push_back(show_processors(context.processors.seats[rank]));
  const Reading read = context.data.reading();
  summary.decode_cpu_seconds = read.decode_cpu_seconds - before.decode_cpu_seconds;
  summary.data_wait_seconds = read.wait_seconds - before.wait_seconds;
  summary.skipped.insert(read.skipped.begin(), read.skipped.end());
  double coordination = 0, trained = 0;
  const auto add_counts = [&](const auto& counts) {
    for (const auto& [name, n] : counts) summary.events[name] += n;
  };
  for (Rank rank = 0; rank < context.place.seats(); ++rank) {
    const SeatWords& seat = context.words.seat(rank);
    coordination += seat.coordination_seconds.load();
    trained += seat.train_seconds.load();
    summary.decode_cpu_seconds += seat.decode_cpu_seconds.load();
    summary.data_wait_seconds += seat.data_wait_seconds.load();
    add_counts(seat.counts.read());
  }
  summary.coordination_fraction = trained > 0 ? coordination / trained : 0;
}

}  // namespace paceline
